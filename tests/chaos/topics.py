"""Topics of a test's own, and a consumer that reads one from its beginning."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tools.services import load

T = TypeVar("T")

PARTITIONS = 3
_ANSWER_SECONDS = 60.0
_READ_SECONDS = 120.0


def bootstrap() -> str:
    """Return the address of the cluster of this test run."""
    address = load().kafka_bootstrap
    assert address is not None, "no Kafka is up: `make services` brings it up"
    return address


def on_mock() -> bool:
    """Tell whether the mock cluster stands in for Kafka in this test run."""
    return not load().kafka_is_real


@contextmanager
def own_topic(prefix: str) -> Iterator[str]:
    """Make a topic with a name that nobody else has, and delete it at the end.

    The mock cluster answers no admin request: it makes a topic when it is first asked about.
    """
    name = f"{prefix}-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": bootstrap()})
    if on_mock():
        admin.list_topics(name, _ANSWER_SECONDS)
    else:
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(_ANSWER_SECONDS)
    try:
        yield name
    finally:
        if not on_mock():
            admin.delete_topics([name])[name].result(_ANSWER_SECONDS)


class TopicReader:
    """Read one topic from its beginning, and remember the message id of every record, copies included."""

    def __init__(self, topic: str, address: str | None = None) -> None:
        self.ids: list[str] = []
        self.records: list[tuple[str, str, bytes]] = []  # id, key, value; in the order of their partitions
        self._topic = topic
        # The group is for the client's sake: partitions are assigned by hand and no offset is committed.
        self._consumer = Consumer(
            {"bootstrap.servers": address or bootstrap(), "group.id": topic, "enable.auto.commit": False}
        )
        self._next = dict.fromkeys(self._partitions(), 0)
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in self._next])

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def read_to_end(self) -> list[str]:
        """Read until the offsets that are the topic's ends now; return all ids read so far."""
        ends = {number: self._end_of(number) for number in self._next}
        self._read_until(lambda: all(self._next[number] >= end for number, end in ends.items()))
        return self.ids

    def read_until(self, wanted: Collection[str]) -> list[str]:
        """Read until each of these ids has come; return all ids read so far."""
        missing = set(wanted)

        def all_came() -> bool:
            missing.difference_update(self.ids)
            return not missing

        self._read_until(all_came)
        return self.ids

    def _read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READ_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{self._topic} gave {len(self.ids)} records in {_READ_SECONDS:g} s"
            for record in self._consumer.consume(1000, timeout=0.1):
                self._take(record)

    def _take(self, record: Message) -> None:
        if record.error():
            raise KafkaException(record.error())
        headers: dict[str, Any] = dict(record.headers() or [])
        partition, offset = record.partition(), record.offset()
        assert partition is not None
        assert offset is not None
        self.ids.append(headers["message-id"].decode())
        self.records.append((self.ids[-1], (record.key() or b"").decode(), record.value() or b""))
        self._next[partition] = offset + 1

    def _partitions(self) -> list[int]:
        deadline = time.monotonic() + _READ_SECONDS
        while True:
            metadata = self._asked(lambda: self._consumer.list_topics(self._topic, timeout=_ANSWER_SECONDS), deadline)
            told = metadata.topics[self._topic]
            if told.error is None and told.partitions:
                return list(told.partitions)
            assert time.monotonic() < deadline, f"no partitions of {self._topic}: {told.error}"

    def _end_of(self, partition: int) -> int:
        its = TopicPartition(self._topic, partition)
        _, end = self._asked(
            lambda: self._consumer.get_watermark_offsets(its, timeout=_ANSWER_SECONDS),
            time.monotonic() + _READ_SECONDS,
        )
        return end

    def _asked(self, question: Callable[[], T], deadline: float) -> T:
        """Ask until an answer comes: a connection may go just as the client asks, which the client does not mend."""
        while True:
            try:
                return question()
            except KafkaException:
                if time.monotonic() >= deadline:
                    raise


def read_records(topic: str, address: str | None = None) -> list[tuple[str, str, bytes]]:
    """Return id, key and value of the records of a topic, from its beginning to its end as it is now."""
    with TopicReader(topic, address) as reader:
        reader.read_to_end()
        return reader.records


def read_whole(topic: str) -> list[str]:
    """Return the message ids of a topic, from its beginning to its end as it is now."""
    with TopicReader(topic) as reader:
        return reader.read_to_end()

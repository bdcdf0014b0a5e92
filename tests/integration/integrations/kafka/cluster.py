"""Apache Kafka as the suite of publishers needs it: topics behind a proxy, read past it."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from asyncflow.integrations.kafka import KafkaSettings
from asyncflow.scheduler.publishing.publisher import Record
from tests.integration.integrations.kafka.adapters import Adapter, AnyPublisher
from tests.support.proxied_broker import MAX_BYTES, ProxiedBroker
from tests.support.proxy import CuttingProxy

PARTITIONS = 4
_ANSWER_SECONDS = 60.0


class NamingProxy(CuttingProxy):
    """Put itself in the place of the broker where an answer tells clients of the broker's address."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(target)
        host, port = target
        self._its = host.encode() + struct.pack(">i", port)
        self._own = b"127.0.0.1" + struct.pack(">i", self.port)
        assert len(self._its) == len(self._own), "the answer would have another length"

    def pass_on(self, data: bytes, to: Any, *, is_answer: bool) -> None:
        super().pass_on(data.replace(self._its, self._own) if is_answer else data, to, is_answer=is_answer)


class Cluster(ProxiedBroker):
    """Lead publishers to the broker through a proxy, which is all that they hear of, and look at it past that."""

    def __init__(self, servers: str, adapter: Adapter) -> None:
        super().__init__(f"kafka://{servers}", NamingProxy)
        self._servers, self._adapter = servers, adapter
        self._admin = AdminClient({"bootstrap.servers": servers})
        self._made: list[str] = []

    def close(self) -> None:
        for deletion in self._admin.delete_topics(self._made).values() if self._made else ():
            with suppress(KafkaException):
                deletion.result(_ANSWER_SECONDS)
        super().close()

    def make_publisher(self, timeout_seconds: float = 30.0) -> AnyPublisher:
        settings = KafkaSettings(delivery_timeout_seconds=timeout_seconds)
        limit = {self._adapter.max_record_bytes: MAX_BYTES}
        return self._adapter.publisher(f"127.0.0.1:{self.proxy.port}", settings, client_options=limit)

    def make_topic(self) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        self._make(name)
        self._made.append(name)
        return name

    def _make(self, name: str) -> None:
        self._admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(_ANSWER_SECONDS)

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        """Read to the end of each partition, until there are so many."""
        deadline = monotonic() + _ANSWER_SECONDS
        places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)]
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "reader", "enable.auto.commit": False})
        kept: list[Record] = []
        try:
            consumer.assign(places)
            while len(kept) < max(count, sum(consumer.get_watermark_offsets(place, 60.0)[1] for place in places)):
                assert monotonic() < deadline, f"{len(kept)} of {count} records came"
                kept += [_record(topic, one) for one in consumer.consume(500, timeout=0.2) if one.error() is None]
        finally:
            consumer.close()
        return kept

    def unroutable_topic(self) -> str:
        return "a name that no topic has"

    @contextmanager
    def removed(self, topic: str) -> Iterator[None]:
        self._admin.delete_topics([topic])[topic].result(_ANSWER_SECONDS)
        yield
        with suppress(KafkaException):  # a record has made it, with the broker's own number of partitions
            self._make(topic)


def _record(topic: str, message: Any) -> Record:
    return Record(topic, message.key(), message.value() or b"", list(message.headers() or []))

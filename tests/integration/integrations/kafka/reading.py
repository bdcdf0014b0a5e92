"""Read a topic back, with a client that has no part in the tests."""

from __future__ import annotations

from time import monotonic
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

READ_WITHIN_SECONDS = 60.0


class Stored(NamedTuple):
    """Hold a record as the broker gives it out."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Any]  # (name, value) pairs


def read(servers: str, topic: str, count: int) -> list[Stored]:
    """Return the first ``count`` records of the topic, each partition's in order; fail when they do not come."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in _partitions(consumer, topic)])
        return _poll(consumer, count)
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    """Return the partitions; ask again when a connection goes just then, and until the broker knows the topic."""
    deadline = monotonic() + READ_WITHIN_SECONDS
    while True:
        try:
            if partitions := consumer.list_topics(topic, timeout=READ_WITHIN_SECONDS).topics[topic].partitions:
                return list(partitions)
            assert monotonic() < deadline, f"no partitions of {topic}"
        except KafkaException:
            if monotonic() >= deadline:
                raise


def _poll(consumer: Consumer, count: int) -> list[Stored]:
    stored: list[Stored] = []
    deadline = monotonic() + READ_WITHIN_SECONDS
    while len(stored) < count:
        assert monotonic() < deadline, f"{len(stored)} of {count} records came"
        stored += [_stored(message) for message in consumer.consume(count, timeout=0.2) if message.error() is None]
    return stored


def _stored(message: Message) -> Stored:
    partition = message.partition()
    assert partition is not None
    return Stored(partition, message.key(), message.value(), list(message.headers() or []))

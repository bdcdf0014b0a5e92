"""Messages on Apache Kafka, as an outbox publishes them, and what is committed of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka import admin as administration

LONG_SECONDS = 60.0


def make_topic(servers: str, *, partitions: int = 2) -> str:
    name = f"coupons-{uuid.uuid4().hex[:12]}"
    library: Any = administration
    topic = library.NewTopic(name, num_partitions=partitions, replication_factor=1)
    admin = library.AdminClient({"bootstrap.servers": servers})
    admin.create_topics([topic])[name].result(LONG_SECONDS)
    return name


def publish(servers: str, topic: str, values: Iterable[Any], *, task_type: str = "", partition: int = -1) -> None:
    """Publish values, each JSON or bytes, with the headers of the outbox."""
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    for value in values:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers: list[Any] = [("message-id", str(uuid.uuid4()).encode()), ("tenant", b"acme")]
        headers += [("message-type", task_type.encode())] if task_type else []
        producer.produce(topic, body, key=b"A1", headers=headers, partition=partition)
    assert producer.flush(LONG_SECONDS) == 0


def committed(servers: str, group: str, topic: str, *, partitions: int = 2) -> int:
    """Return the sum of the group's offsets."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group})
    try:
        found = consumer.committed([TopicPartition(topic, n) for n in range(partitions)], timeout=LONG_SECONDS)
        return sum(max(0, one.offset) for one in found)
    finally:
        consumer.close()

"""Messages on Apache Kafka, as an outbox publishes them, and what is committed of them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import admin as administration

LONG_SECONDS = 60.0
library: Any = administration


def make_topic(servers: str, *, partitions: int = 2, name: str | None = None) -> str:
    name = name or f"coupons-{uuid.uuid4().hex[:12]}"
    topic = library.NewTopic(name, num_partitions=partitions, replication_factor=1)
    admin = library.AdminClient({"bootstrap.servers": servers})
    admin.create_topics([topic])[name].result(LONG_SECONDS)
    return name


def make_anew(servers: str, topic: str) -> None:
    """Delete a topic, with all that it holds, and make it again as soon as the brokers take its name."""
    admin = library.AdminClient({"bootstrap.servers": servers})
    admin.delete_topics([topic])[topic].result(LONG_SECONDS)
    until = time.monotonic() + LONG_SECONDS
    while True:
        try:
            make_topic(servers, name=topic)
            return
        except KafkaException:
            assert time.monotonic() < until
            time.sleep(0.2)


def publish(
    servers: str, topic: str, values: Iterable[Any], *, task_type: str = "", partition: int = -1, has_ids: bool = True
) -> None:
    """Publish values, each JSON or bytes, with the headers of the outbox."""
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    for value in values:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers: list[Any] = [("message-id", str(uuid.uuid4()).encode())] if has_ids else []
        headers.append(("tenant", b"acme"))
        headers += [("message-type", task_type.encode())] if task_type else []
        producer.produce(topic, body, key=b"A1", headers=headers, partition=partition)
    assert producer.flush(LONG_SECONDS) == 0


def committed(servers: str, group: str, topic: str, *, partitions: int = 2) -> int:
    """Return the sum of the group's offsets."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group})
    wanted = [TopicPartition(topic, n) for n in range(partitions)]
    until = time.monotonic() + LONG_SECONDS
    try:
        while True:
            try:
                return sum(max(0, one.offset) for one in consumer.committed(wanted, timeout=LONG_SECONDS))
            except KafkaException as error:  # a coordinator that loads its groups sends everybody elsewhere
                passes = error.args[0].retriable() or error.args[0].code() == KafkaError.NOT_COORDINATOR
                if not passes or time.monotonic() > until:
                    raise
                time.sleep(0.2)
    finally:
        consumer.close()

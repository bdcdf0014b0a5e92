"""RabbitMQ as the suite needs it: exchanges with queues, read by a client that has no part in the publisher."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import pika

from asyncflow.integrations.rabbitmq import RabbitMQPublisher, RabbitMQSettings
from asyncflow.integrations.rabbitmq.messages import MESSAGE_KEY, PROPERTIES
from asyncflow.scheduler.publishing.publisher import Record
from tests.support.proxied_broker import MAX_BYTES, ProxiedBroker

READ_WITHIN_SECONDS = 60.0


class Rabbit(ProxiedBroker):
    """Lead publishers to the broker through a proxy, and look at its queues past it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self._made: list[str] = []
        self._read: defaultdict[str, list[Record]] = defaultdict(list)

    def close(self) -> None:
        for name in self._made:
            self.channel.exchange_delete(name)
            self.channel.queue_delete(name)
        self._connection.close()
        super().close()

    def make_publisher(self, timeout_seconds: float = 30.0, **settings: Any) -> RabbitMQPublisher:
        its = {"delivery_timeout_seconds": timeout_seconds, "max_message_bytes": MAX_BYTES, **settings}
        return RabbitMQPublisher(self.url, RabbitMQSettings(**its))

    def make_topic(self, **arguments: Any) -> str:
        name = self.make_exchange()
        self._make_queue(name, arguments)
        return name

    def _make_queue(self, name: str, arguments: dict[str, Any]) -> None:
        self.channel.queue_declare(
            name, durable=True, arguments={f"x-{k.replace('_', '-')}": v for k, v in arguments.items()}
        )
        self.channel.queue_bind(name, name, "#")

    def make_exchange(self, *, internal: bool = False) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.channel.exchange_declare(name, "topic", durable=True, internal=internal)
        self._made.append(name)
        return name

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        deadline = monotonic() + READ_WITHIN_SECONDS
        kept = self._read[topic]
        while True:
            method, properties, body = self.channel.basic_get(topic, auto_ack=True)
            if method is not None:
                kept.append(record_of(topic, method, properties, body))
            elif len(kept) >= count:
                return kept
            else:
                assert monotonic() < deadline, f"{len(kept)} of {count} messages came"
                sleep(0.01)

    def unroutable_topic(self) -> str:
        return self.make_exchange()

    def refusing_topic(self) -> str:
        topic = self.make_topic(max_length=1, overflow="reject-publish")
        self.channel.basic_publish(topic, "", b"it is full")
        deadline = monotonic() + READ_WITHIN_SECONDS
        while self.channel.queue_declare(topic, passive=True).method.message_count < 1:
            assert monotonic() < deadline, "the queue is not full"
        return topic

    @contextmanager
    def removed(self, topic: str) -> Iterator[None]:
        self.channel.exchange_delete(topic)
        self.channel.queue_delete(topic)
        yield
        self.channel.exchange_declare(topic, "topic", durable=True)
        self._make_queue(topic, {})

    def forbidden_topic(self) -> str:
        return self.make_exchange(internal=True)


def record_of(topic: str, method: Any, properties: Any, body: bytes) -> Record:
    """Return the record that a message was made of."""
    ours = {name: getattr(properties, attribute) for name, attribute in PROPERTIES.items()}
    headers = {**{name: value for name, value in ours.items() if value is not None}, **(properties.headers or {})}
    key = headers.pop(MESSAGE_KEY, None) or (method.routing_key if method.exchange == topic else None) or None
    encoded = [(name, value.encode() if isinstance(value, str) else value) for name, value in headers.items()]
    return Record(topic, key.encode() if isinstance(key, str) else key, body, encoded)

"""RocketMQ as the suite needs it: topics, made and read by a client that has no part in the publisher."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from asyncflow.integrations.rocketmq import RocketMQPublisher, RocketMQSettings
from asyncflow.integrations.rocketmq.messages import EMPTY, EMPTY_BODY, MESSAGE_KEY
from asyncflow.scheduler.publishing.publisher import Record
from tests.integration.integrations.rocketmq.plain_client import READ, PlainClient, Stored
from tests.support.proxied_broker import MAX_BYTES, ProxiedBroker

READ_WITHIN_SECONDS = 60.0
THE_BROKERS = re.compile(r"[A-Z_][A-Z0-9_]*")


class Rockets(ProxiedBroker):
    """Lead publishers to the proxy of RocketMQ through a network of its own, and look at the broker past that."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        host, port = parse_qs(urlsplit(url).query)["broker"][0].split(":")
        self.client = PlainClient(host, int(port))
        self._made: list[str] = []

    def close(self) -> None:
        for topic in self._made:
            self.client.delete_topic(topic)
        super().close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.proxy.port}"

    def make_publisher(self, timeout_seconds: float = 30.0, **settings: Any) -> RocketMQPublisher:
        its = {"delivery_timeout_seconds": timeout_seconds, "max_message_bytes": MAX_BYTES, **settings}
        return RocketMQPublisher(self.address, RocketMQSettings(**its))

    def make_topic(self, **its: Any) -> str:
        topic = self.unroutable_topic()
        self.client.make_topic(topic, **its)
        self._made.append(topic)
        return topic

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        return [record_of(topic, one) for one in self.raw(topic, count)]

    def raw(self, topic: str, count: int) -> list[Stored]:
        deadline = monotonic() + READ_WITHIN_SECONDS
        while (there := self.client.count(topic)) < count:
            assert monotonic() < deadline, f"{there} of {count} messages came"
            sleep(0.01)
        return self.client.stored(topic)

    def unroutable_topic(self) -> str:
        return f"test-{uuid.uuid4().hex[:12]}"

    def refusing_topic(self) -> str:
        return self.make_topic(kind="NORMAL")

    @contextmanager
    def removed(self, topic: str) -> Iterator[None]:
        self.client.delete_topic(topic)
        yield
        self.client.make_topic(topic)

    @contextmanager
    def revoked(self, topic: str) -> Iterator[None]:
        self.client.make_topic(topic, permission=READ)
        yield
        self.client.make_topic(topic)

    def forbidden_topic(self) -> str:
        return self.make_topic(permission=READ)


def record_of(topic: str, stored: Stored) -> Record:
    """Return the record that a message was made of."""
    its = {
        unquote_to_bytes(name).decode(): b"" if value == EMPTY else unquote_to_bytes(value)
        for name, value in stored.properties.items()
        if not THE_BROKERS.fullmatch(name)
    }
    key, is_empty = its.pop(MESSAGE_KEY, None), its.pop(EMPTY_BODY, None)
    return Record(topic, key, b"" if is_empty else stored.body, list(its.items()))

"""Redis as the suite needs it: streams, read by a client that has no part in the publisher."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from asyncflow.integrations.redis import RedisPublisher, RedisSettings
from asyncflow.integrations.redis.entries import HEADER
from asyncflow.scheduler.publishing.publisher import Record
from tests.support.proxied_broker import MAX_BYTES, ProxiedBroker


class Streams(ProxiedBroker):
    """Lead publishers to the server through a proxy, and look at its streams past it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client: Any = redis.Redis.from_url(url)
        self.user = f"user-{uuid.uuid4().hex[:8]}"
        self._made: list[str] = []

    def close(self) -> None:
        self.client.delete(*self._made, "never-made")
        self.client.acl_deluser(self.user)
        self.client.close()
        super().close()

    def make_publisher(self, timeout_seconds: float = 30.0, **settings: Any) -> RedisPublisher:
        its = {"delivery_timeout_seconds": timeout_seconds, "max_message_bytes": MAX_BYTES, **settings}
        # A user of this test alone, so that what it may do can be changed.
        self.client.acl_setuser(
            self.user, enabled=True, nopass=True, commands=["+@all"], keys=["test-*"], reset=True, reset_keys=True
        )
        return RedisPublisher(self.url.replace("redis://", f"redis://{self.user}:any@"), RedisSettings(**its))

    def make_topic(self) -> str:
        return self.named("test")

    def named(self, prefix: str) -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        self._made.append(name)
        return name

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        return [record_of(topic, fields) for _, fields in self.client.xrange(topic)]

    @contextmanager
    def removed(self, topic: str) -> Iterator[None]:
        self.client.delete(topic)
        yield

    @contextmanager
    def revoked(self, topic: str) -> Iterator[None]:
        others = [f"~{name}" for name in self._made if name != topic]
        self.client.execute_command("ACL", "SETUSER", self.user, "resetkeys", *others)
        yield
        self.client.execute_command("ACL", "SETUSER", self.user, f"~{topic}")

    def forbidden_topic(self) -> str:
        return self.named("forbidden")


def record_of(topic: str, fields: dict[bytes, bytes]) -> Record:
    """Return the record that an entry was made of."""
    headers = [
        (name.decode().removeprefix(HEADER), value)
        for name, value in fields.items()
        if name.startswith(HEADER.encode())
    ]
    return Record(topic, fields.get(b"key"), fields[b"value"], headers)

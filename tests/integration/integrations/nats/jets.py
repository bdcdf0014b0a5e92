"""NATS as the suite needs it: streams, read by a client that has no part in the publisher."""

from __future__ import annotations

import uuid
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from asyncflow.integrations.nats import NatsPublisher, NatsSettings
from asyncflow.integrations.nats.messages import DEDUPLICATED_BY, MESSAGE_KEY
from asyncflow.scheduler.publishing.publisher import Record
from tests.integration.integrations.nats.plain_client import PlainClient
from tests.support.proxied_broker import MAX_BYTES, ProxiedBroker

READ_WITHIN_SECONDS = 60.0
FORBIDDEN = "forbidden"  # to the user "limited"


class Jets(ProxiedBroker):
    """Lead publishers to the server through a proxy, and look at its streams past it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client = PlainClient(url)
        self._password = urlsplit(url).password
        self._made: list[str] = []

    def close(self) -> None:
        for name in self._made:
            self.client.ask(f"$JS.API.STREAM.DELETE.{name}")
        self.client.close()
        super().close()

    def url_of(self, user: str) -> str:
        return f"nats://{user}:{self._password}@127.0.0.1:{self.proxy.port}"

    def make_publisher(self, timeout_seconds: float = 30.0, user: str = "limited", **settings: Any) -> NatsPublisher:
        its = {"delivery_timeout_seconds": timeout_seconds, "max_message_bytes": MAX_BYTES, **settings}
        return NatsPublisher(self.url_of(user), NatsSettings(**its))

    def make_topic(self, **configuration: Any) -> str:
        topic = self.new_subject("test")
        self.make_stream(topic, **configuration)
        return topic

    def make_stream(self, topic: str, **configuration: Any) -> None:
        name = stream_of(topic)
        self._made.append(name)
        self.client.api(
            f"STREAM.CREATE.{name}", {"name": name, "subjects": [topic], "storage": "file", **configuration}
        )

    def new_subject(self, prefix: str) -> str:
        subject = f"{prefix}.{uuid.uuid4().hex[:12]}"
        self._made.append(stream_of(subject))
        return subject

    def state_of(self, topic: str) -> dict[str, Any]:
        state: dict[str, Any] = self.client.api(f"STREAM.INFO.{stream_of(topic)}")["state"]
        return state

    def raw(self, topic: str) -> list[dict[str, Any]]:
        """Return what the stream holds, as its API tells it."""
        get = f"STREAM.MSG.GET.{stream_of(topic)}"
        return [
            self.client.api(get, {"seq": number + 1})["message"] for number in range(self.state_of(topic)["last_seq"])
        ]

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        deadline = monotonic() + READ_WITHIN_SECONDS
        while (there := self.state_of(topic)["messages"]) < count:
            assert monotonic() < deadline, f"{there} of {count} messages came"
            sleep(0.01)
        return [record_of(topic, message) for message in self.raw(topic)]

    def unroutable_topic(self) -> str:
        return self.new_subject("nowhere")

    def refusing_topic(self) -> str:
        topic = self.make_topic(max_msgs=1, discard="new")
        assert "error" not in self.client.ask(topic, {"it": "is full"})
        return topic

    @contextmanager
    def removed(self, topic: str) -> Iterator[None]:
        self.client.api(f"STREAM.DELETE.{stream_of(topic)}", {})
        yield
        self.make_stream(topic)

    def forbidden_topic(self) -> str:
        return self.new_subject(FORBIDDEN)


def stream_of(topic: str) -> str:
    return topic.replace(".", "-")


def lines_of(message: dict[str, Any]) -> list[bytes]:
    """Return the lines of a message's headers, as they are kept."""
    begin, *lines, _, _ = b64decode(message["hdrs"]).split(b"\r\n")
    assert begin == b"NATS/1.0"
    return lines


def record_of(topic: str, message: dict[str, Any]) -> Record:
    """Return the record that a message was made of."""
    pairs = [line.split(b": ", 1) if b": " in line else (line.rstrip(b": "), b"") for line in lines_of(message)]
    headers = {unquote_to_bytes(name).decode(): unquote_to_bytes(value) for name, value in pairs}
    headers.pop(DEDUPLICATED_BY, None)
    key = headers.pop(MESSAGE_KEY, None)
    return Record(topic, key, b64decode(message.get("data", "")), list(headers.items()))

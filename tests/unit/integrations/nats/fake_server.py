"""A server that speaks as NATS does, and answers as a test wants it: what a real one does only when it is unwell."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

NOBODY = b"NATS/1.0 503\r\n\r\n"


class Published(NamedTuple):
    subject: str
    headers: list[bytes]
    payload: bytes


# An answer to what was published: a payload, NOBODY, a line of the server's own, or None for silence.
Answer = bytes | dict[str, Any] | None
Answers = Callable[[Published], Answer]


class FakeServer:
    """Serve one client after the other on a thread of its own; ``connects`` and ``published`` are what came.

    Nothing is answered before so many messages have come as it ``holds``.
    """

    holds = 0

    def __init__(self, answers: Answers, tls: ssl.SSLContext | None, **info: Any) -> None:
        self.connects: list[dict[str, Any]] = []
        self.published: list[Published] = []
        self._answers = answers
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._info = {"server_id": "x", "version": "2.9.10", "headers": True, "max_payload": 1_000_000, **info}
        threading.Thread(target=self._serve, name="fake-nats", daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError, ValueError), client:
                client.sendall(b"INFO " + json.dumps(self._info).encode() + b"\r\n")
                if self._tls is not None:
                    with self._tls.wrap_socket(client, server_side=True) as encrypted:
                        self._converse(encrypted)
                else:
                    self._converse(client)

    def _converse(self, client: socket.socket) -> None:
        with client.makefile("rb") as stream:
            numbers: dict[str, bytes] = {}  # of subscriptions, by the first part of their subjects
            held = b""
            while line := stream.readline():
                verb, *words = line.split()
                if verb == b"CONNECT":
                    self.connects.append(json.loads(line.partition(b" ")[2]))
                elif verb == b"PING":
                    client.sendall(b"PONG\r\n")
                elif verb == b"SUB":
                    numbers[words[0].decode().removesuffix("*")] = words[-1]
                elif verb in (b"PUB", b"HPUB"):
                    reply, size = words[1].decode(), int(words[-1])
                    body = stream.read(size + 2)[:-2]
                    headers = int(words[-2]) if verb == b"HPUB" else 0
                    came = Published(words[0].decode(), body[:headers].split(b"\r\n")[1:-2], body[headers:])
                    self.published.append(came)
                    number = numbers[reply[: reply.rindex(".") + 1]]
                    held += _written(self._answers(came), reply.encode(), number)
                    if len(self.published) >= self.holds:
                        client.sendall(held)
                        held = b""


def _written(answer: Answer, reply: bytes, number: bytes) -> bytes:
    if answer is None:
        return b""
    if isinstance(answer, bytes) and answer.startswith(b"-ERR"):
        return answer + b"\r\n"
    if answer == NOBODY:
        return b"HMSG %s %s %d %d\r\n%s\r\n" % (reply, number, len(NOBODY), len(NOBODY), NOBODY)
    payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return b"MSG %s %s %d\r\n%s\r\n" % (reply, number, len(payload), payload)


@contextmanager
def fake_server(answers: Answers, *, tls: ssl.SSLContext | None = None, **info: Any) -> Iterator[FakeServer]:
    """Give a server; ``info`` is what it says of itself."""
    server = FakeServer(answers, tls, **info)
    yield server
    server.close()

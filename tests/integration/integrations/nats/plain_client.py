"""NATS spoken by hand over one socket: a client that has no part in the publisher, and sees each byte."""

from __future__ import annotations

import json
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

ANSWER_WITHIN_SECONDS = 60.0


class PlainClient:
    """Ask JetStream's API, publish and listen; of the thread that made it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_WITHIN_SECONDS)
        self._stream = self._socket.makefile("rb")
        assert self._stream.readline().startswith(b"INFO ")
        who = {"user": parts.username, "pass": parts.password} if parts.username else {}
        told = {"verbose": False, "lang": "by hand", "version": "1", "headers": True, "no_responders": True, **who}
        self._say(b"CONNECT " + json.dumps(told).encode())
        self._inbox = f"_INBOX.{uuid.uuid4().hex}"
        self._say(f"SUB {self._inbox} 1".encode())
        self.come_through()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def come_through(self) -> None:
        """Wait until the server has taken all that was said."""
        self._say(b"PING")
        while (line := self._line()) != b"PONG":
            self._passed_over(line)

    def listen(self, subject: str) -> None:
        """Be one of those who listen, and say nothing."""
        self._say(f"SUB {subject} 2".encode())
        self.come_through()

    def publish(self, subject: str, payload: bytes) -> None:
        self._say(f"PUB {subject} {len(payload)}".encode(), payload)

    def ask(self, subject: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        body = b"" if question is None else json.dumps(question).encode()
        self._say(f"PUB {subject} {self._inbox} {len(body)}".encode(), body)
        while True:
            line = self._line()
            payload = self._passed_over(line)
            if payload is not None and line.split()[2] == b"1":
                answer: dict[str, Any] = json.loads(payload)
                return answer

    def api(self, what: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return JetStream's answer, which has to be no error."""
        answer = self.ask(f"$JS.API.{what}", question)
        assert "error" not in answer, answer
        return answer

    def _say(self, *lines: bytes) -> None:
        self._socket.sendall(b"".join(line + b"\r\n" for line in lines))

    def _line(self) -> bytes:
        line = self._stream.readline()
        assert line, "the server has ended the connection"
        return line.rstrip(b"\r\n")

    def _passed_over(self, line: bytes) -> bytes | None:
        """Return the payload, if the line begins a message; answer a PING."""
        if line == b"PING":
            self._say(b"PONG")
        assert not line.startswith(b"-ERR"), line
        if not line.startswith((b"MSG", b"HMSG")):
            return None
        words = line.split()
        size, headers = int(words[-1]), int(words[-2]) if line.startswith(b"HMSG") else 0
        return self._stream.read(size + 2)[headers:-2]

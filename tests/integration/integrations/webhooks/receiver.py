"""A receiver of webhooks that the suite can shape: it keeps what is signed, and answers as it is told."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from asyncflow.errors import InvalidSignatureError
from asyncflow.integrations.webhooks import WebhookPublisher, WebhookSettings, make_secret, verify
from asyncflow.scheduler.publishing.publisher import Record
from tests.support.proxied_broker import MAX_BYTES, ProxiedBroker

WAIT_SECONDS = 60.0
OF_HTTP = {"host", "content-length", "connection", "accept", "accept-encoding", "user-agent"}
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Posted(NamedTuple):
    """Hold a request as it came."""

    path: str
    headers: dict[str, str]  # by names in small letters
    body: bytes


class Answer(NamedTuple):
    """Say what a request is answered; one without a status is kept, and its connection is reset."""

    status: int | None = 200
    headers: Mapping[str, str] = MappingProxyType({})
    before: Callable[[], Any] = lambda: None


Answers = Callable[[Posted], Answer]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class ReceivingServer:
    """Be a real HTTP server on loopback, with a thread for each connection; ``answers`` tell what a path is answered.

    A path that nobody has made is answered with 404. What is taken (200) is kept, if it is signed.
    """

    def __init__(self, secret: str, tls: ssl.SSLContext | None = None) -> None:
        self.secret = secret
        self.answers: dict[str, Answers] = {}
        self.requests: list[Posted] = []  # all, in their order
        self.taken: defaultdict[str, list[Posted]] = defaultdict(list)
        self.most_at_once = 0
        self.changed = threading.Condition()
        self._at_once = 0
        self.server = _Server(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self.server.server_address[1])
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait until something that a request changes is so."""
        with self.changed:
            assert self.changed.wait_for(is_so, WAIT_SECONDS), "it did not come to that"

    def answer_to(self, posted: Posted) -> Answer:
        with self.changed:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.requests.append(posted)
            self.changed.notify_all()
        try:
            return self._answer_to(posted)
        finally:
            with self.changed:
                self._at_once -= 1

    def _answer_to(self, posted: Posted) -> Answer:
        topic = unquote(urlsplit(posted.path).path.rpartition("/")[2])
        answers = self.answers.get(topic)
        if answers is None:
            return Answer(404)
        answer = answers(posted)
        answer.before()
        if answer.status in (200, None):
            try:
                verify(posted.body, posted.headers, self.secret)
            except InvalidSignatureError:
                return Answer(401)
            with self.changed:
                self.taken[topic].append(posted)
                self.changed.notify_all()
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer goes out whole

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = receiver.answer_to(Posted(self.path, headers, body))
                if answer.status is None:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)  # without a date of its own
                for name, value in {"Content-Length": "0", **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # who has sent it has gone
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class WebhookReceiver(ProxiedBroker):
    """Lead publishers to a server through a proxy."""

    def __init__(self) -> None:
        self.secret = make_secret()
        self.server = ReceivingServer(self.secret)
        super().__init__(f"http://127.0.0.1:{self.server.port}/hooks/{{topic}}")

    def close(self) -> None:
        super().close()
        self.server.close()

    def make_publisher(self, timeout_seconds: float = 30.0, **settings: Any) -> WebhookPublisher:
        limits = dict.fromkeys(
            ("connect_timeout_seconds", "read_timeout_seconds", "delivery_timeout_seconds"), timeout_seconds
        )
        its = {**limits, "max_message_bytes": MAX_BYTES, **settings}
        return WebhookPublisher(self.url, self.secret, WebhookSettings(**its))

    def make_topic(self, answers: Answers | int = 200, **headers: str) -> str:
        """Return a topic that is answered so: with a status, or with what a function makes of each request."""
        topic = f"тема {uuid.uuid4().hex[:12]}"
        fixed = answers if isinstance(answers, int) else 200
        self.server.answers[topic] = answers if callable(answers) else lambda _: Answer(fixed, headers)
        return topic

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        self.server.wait_for(lambda: len(self.server.taken[topic]) >= count)
        return [record_of(topic, posted) for posted in self.server.taken[topic]]

    def unroutable_topic(self) -> str:
        return f"nobody-{uuid.uuid4().hex[:12]}"

    def refusing_topic(self) -> str:
        return self.make_topic(503)

    @contextmanager
    def removed(self, topic: str) -> Iterator[None]:
        answers = self.server.answers.pop(topic)
        yield
        self.server.answers[topic] = answers

    @contextmanager
    def revoked(self, topic: str) -> Iterator[None]:
        answers, self.server.answers[topic] = self.server.answers[topic], lambda _: Answer(401)
        yield
        self.server.answers[topic] = answers

    def forbidden_topic(self) -> str:
        return self.make_topic(403)


def record_of(topic: str, posted: Posted) -> Record:
    """Return the record that a request was made of."""
    fields = {name: value for name, value in posted.headers.items() if name not in OF_HTTP}
    if fields["content-type"] == "application/octet-stream":  # of records that name no type
        del fields["content-type"]
    headers = {"message-id": fields.pop("webhook-id"), **fields}
    key = headers.pop("message-key", None)
    own = [(name, bytes_of(value)) for name, value in headers.items() if not name.startswith("webhook-")]
    return Record(topic, None if key is None else bytes_of(key), posted.body, own)


def bytes_of(value: str) -> bytes:
    """Return what a field's value stands for, as RFC 8187 has it."""
    return unquote_to_bytes(value.removeprefix("UTF-8''")) if value.startswith("UTF-8''") else value.encode("latin-1")


def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so, looking again and again."""
    deadline = monotonic() + WAIT_SECONDS
    while not is_so():
        assert monotonic() < deadline, "it did not come to that"
        threading.Event().wait(0.01)

"""One process of webhooks under test: ``python -m … scheduler DATABASE URL``, or ``… receiver FILE PORT``, to the end.

A receiver has an id in its file before it answers, so that what it acknowledged is known whenever it is killed.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.webhooks import WebhookPublisher, WebhookSettings, verify

SECRET = "whsec_" + "bXkgb3duIHNlY3JldCBvZiAzMiBieXRlcyBhbmQgbm8gbW9yZQ=="  # of this test alone
metadata = MetaData()
outbox = Outbox(metadata)
paid = outbox.message(
    "paid",
    topic="paid",
    destination="receiver",
    max_retries=100,
    retry_interval_seconds=0.1,
    max_retry_interval_seconds=0.5,
)


def scheduler(database_url: str, receiver_url: str) -> AbstractContextManager[Any]:
    """Return a scheduler that sends to the receiver, and is missed soon."""
    settings = WebhookSettings(connect_timeout_seconds=2.0, read_timeout_seconds=10.0)
    publisher = WebhookPublisher(receiver_url, SECRET, settings)
    quick = {"lease_seconds": 3.0, "heartbeat_seconds": 0.4, "tick": 0.2}
    return Scheduler(create_engine(database_url, pool_size=10), outbox, {"receiver": publisher}, **quick)  # type: ignore[arg-type]


@contextmanager
def receiver(file: str, port: str) -> Iterator[None]:
    """Be a receiver that notes each id which is signed, and answers then."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message_id = verify(body, dict(self.headers), SECRET)
            with open(file, "ab", buffering=0) as notes:
                notes.write(f"{message_id}\n".encode())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Tell nobody."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", int(port)), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def main() -> int:
    """Run until SIGTERM; return 0."""
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    role, *where = sys.argv[1:4]
    with scheduler(*where) if role == "scheduler" else receiver(*where):
        while not asked_to_stop:
            time.sleep(0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A rendering service as there are many: it takes an order, works for a while, and is asked for the result."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS_OF_A_LETTER = 0.07


class Renderer:
    """Serve on a port of the system's choice, on a thread, until ``close``.

    ``PUT /jobs/NAME`` orders a text, once for a name; ``GET /jobs/NAME`` tells how far it is;
    ``GET /jobs/NAME/audio`` gives the result.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[str, float]] = {}  # text, and when it was ordered
        self.orders = 0
        renderer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._answer(renderer.order(self.path.split("/")[2], json.loads(body)["text"]))

            def do_GET(self) -> None:
                _, _, name, *rest = self.path.split("/")
                self._answer(renderer.audio(name) if rest else renderer.look(name))

            def _answer(self, answer: Any) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

            def log_message(self, *_: Any) -> None:
                """Leave the terminal to the example."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Return the service's URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def order(self, name: str, text: str) -> dict[str, Any]:
        """Begin to render, unless the name was ordered before: a caller that died may ask again."""
        if name not in self.jobs:
            self.orders += 1
        self.jobs.setdefault(name, (text, time.monotonic()))
        return {"job": name}

    def look(self, name: str) -> dict[str, Any]:
        """Tell the part that is rendered, from 0 to 1."""
        text, ordered_at = self.jobs[name]
        return {"done": min(1.0, (time.monotonic() - ordered_at) / (SECONDS_OF_A_LETTER * len(text)))}

    def audio(self, name: str) -> bytes:
        """Return the sound."""
        text, _ = self.jobs[name]
        return f"RIFF {text}".encode()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()

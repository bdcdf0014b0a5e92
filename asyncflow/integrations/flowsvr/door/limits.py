"""Two wrappers of the application: one bounds bodies, the other writes the access log."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from asyncflow.integrations.flowsvr.door.problems import problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger("asyncflow.flowsvr")
_QUIET = ("/healthz", "/readyz", "/v2/tasks/hold", "/v2/tasks/renew", "/v2/tasks/set")


class BodyLimit:
    """Refuse a body that is too large, by its Content-Length or as it comes in."""

    def __init__(self, app: App, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        body = None if declared.isdigit() and int(declared) > self._most else await self._read(receive)
        if body is None:
            detail = f"the body is larger than {self._most} bytes; send less at once"
            await problem(413, detail, {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, _with_body(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


def _with_body(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return receive_again


class AccessLog:
    """Write a line for each request: what was asked, by whom, the answer's status and the time it took.

    What workers do all the time, and what went well there, is logged at DEBUG.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), [500]

        async def send_noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            level = logging.DEBUG if scope["path"] in _QUIET and status[0] < 500 else logging.INFO
            caller = scope.get("state", {}).get("caller", "-")
            took = (time.perf_counter() - began) * 1000
            _LOG.log(level, "%s %s %d %s %.1f ms", scope["method"], _line(scope["path"]), status[0], caller, took)


def _line(path: str) -> str:
    """Return the path on one line, whatever the client put into it."""
    return path.encode("unicode_escape").decode()[:200]

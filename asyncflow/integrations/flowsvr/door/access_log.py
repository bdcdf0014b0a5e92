"""The access log: a line for each request."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asyncflow.integrations.flowsvr.door.problems import one_line
from asyncflow.integrations.flowsvr.together.named_paths import parted

_LOG = logging.getLogger("asyncflow.flowsvr")
_QUIET = ("/healthz", "/readyz", "/metrics", "/v2/tasks/hold", "/v2/tasks/renew", "/v2/tasks/set")
_AT_FAULT = 500


class AccessLog:
    """Write a line for each request: what was asked, by whom, the answer's status and the time it took.

    What workers do all the time, and what went well there, is logged at DEBUG; so is what came without a known token,
    whatever was asked for and answered: strangers do not fill the log. ``Refusals`` tells how many were refused, and
    what the service is at fault for has lines of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), [_AT_FAULT]

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            caller = scope.get("state", {}).get("caller")
            is_quiet = caller is None or (status[0] < _AT_FAULT and parted(scope["path"])[1] in _QUIET)
            took = (time.perf_counter() - began) * 1000
            level = logging.DEBUG if is_quiet else logging.INFO
            path = one_line(scope["path"])
            _LOG.log(level, "%s %s %d %s %.1f ms", one_line(scope["method"]), path, status[0], caller or "-", took)

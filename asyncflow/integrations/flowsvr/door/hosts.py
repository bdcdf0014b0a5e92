"""The Host that a request names: a service that demands no token answers to names of its own machine alone.

Else a page on any web site could call it through the browser of somebody on this machine, once its own name leads to
127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from asyncflow.integrations.flowsvr.door.problems import problem
from asyncflow.networks import is_loopback


class OwnHost:
    """Refuse requests to another host's name, or from a page of another host, by 403."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            served = (scope.get("server") or ("",))[0]
            for name, value in scope["headers"]:
                text = value.decode("latin-1")
                asked = text if name == b"host" else urlsplit(text).netloc
                if name in (b"host", b"origin") and not _is_own(asked, served):
                    detail = "this service demands no token, so it answers to this machine's names alone, not to "
                    refusal = problem(403, f"{detail}{asked!r:.80}", {"Connection": "close"})
                    await refusal(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _is_own(asked: str, served: str) -> bool:
    try:
        host = urlsplit(f"//{asked}").hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host == served.lower()

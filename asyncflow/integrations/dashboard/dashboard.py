"""The dashboard as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sqlalchemy import Engine
from starlette.requests import Request

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.answers import Answers
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.answering import headers_of
from asyncflow.integrations.dashboard.door.guard import Guard
from asyncflow.integrations.dashboard.door.sessions import Sessions
from asyncflow.integrations.dashboard.settings import DashboardSettings
from asyncflow.integrations.dashboard.visit import Visit
from asyncflow.integrations.dashboard.wsgi import WsgiDashboard
from asyncflow.outbox import Outbox
from asyncflow.text import shown

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Dashboard:
    """Serve the pages of one outbox: ``app.mount("/outbox", Dashboard(engine, outbox, users=...))``.

    ``users`` is a UsersFile, a TrustedProxy, or a function of the request, the application's own sign-in, that returns
    a Person or None; it may be ``async``. Without, the pages answer this machine alone and change nothing. Any event
    loop may serve it. Raises OptionError.
    """

    def __init__(
        self, engine: Engine, outbox: Outbox, *, users: Any = None, settings: DashboardSettings | None = None
    ) -> None:
        if not isinstance(engine, Engine):
            raise OptionError(f"engine is {shown(engine)}; give an Engine (of an AsyncEngine, its sync_engine)")
        if not isinstance(outbox, Outbox):
            raise OptionError(f"outbox is {shown(outbox)}; give an Outbox")
        settings = settings or DashboardSettings()
        sessions = Sessions(settings.secret, settings.session_seconds)
        desk = Desk(engine, outbox, settings.redaction, settings.trace_url)
        self._answers = Answers(desk, Guard(users, sessions), sessions, settings)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one request; of a connection of another kind, end it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            visit = Visit(Request(scope, receive))
            response = await self._answers.to(visit)
            response.headers.update({**headers_of(visit.nonce), **response.headers})
            await response(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def wsgi(self) -> WsgiDashboard:
        """Return it as a WSGI application, for Flask and others; raises MissingExtraError without a2wsgi."""
        return WsgiDashboard(self)


async def _live(receive: _Receive, send: _Send) -> None:
    """Say that there is nothing to start and nothing to stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

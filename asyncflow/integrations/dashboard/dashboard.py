"""The dashboard as an ASGI application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.answers import Answers
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.answering import headers_of
from asyncflow.integrations.dashboard.door.guard import Guard
from asyncflow.integrations.dashboard.door.sessions import Sessions
from asyncflow.integrations.dashboard.pages.databases import overview
from asyncflow.integrations.dashboard.settings import DashboardSettings
from asyncflow.integrations.dashboard.visit import Visit
from asyncflow.integrations.dashboard.wsgi import WsgiDashboard
from asyncflow.outbox import Outbox
from asyncflow.outbox.routing.databases import named
from asyncflow.scheduler.connections.sync_twin import AnyEngine, blocking
from asyncflow.scheduler.diagnosis.kept_look import KeptLook
from asyncflow.text import shown

_ASSETS = "static"  # the path of its files


class Dashboard:
    """Serve the pages of one outbox: ``app.mount("/outbox", Dashboard(engine, outbox, users=...))``.

    With a dict of engines by the names of several databases it begins with a page of all of them, and has the pages of
    each below its name, ``/outbox/db0/``.
    ``users`` is a UsersFile, a TrustedProxy, or a function of the request, the application's own sign-in, that returns
    a Person or None; it may be ``async``. Without, the pages answer this machine alone and change nothing. Any event
    loop may serve it. An AsyncEngine has another one beside it, as in AsyncScheduler. Raises OptionError, and what that
    raises for a driver.
    """

    def __init__(
        self,
        engine: AnyEngine | Mapping[str, AnyEngine],
        outbox: Outbox,
        *,
        users: Any = None,
        settings: DashboardSettings | None = None,
    ) -> None:
        several = {name: blocking(one) for name, one in named(engine).items()} if isinstance(engine, Mapping) else {}
        only = None if isinstance(engine, Mapping) else blocking(engine)
        if _ASSETS in several:
            raise OptionError(f"{_ASSETS!r} is that of the dashboard's own files; give the database another name")
        if not isinstance(outbox, Outbox):
            raise OptionError(f"outbox is {shown(outbox)}; give an Outbox")
        settings = settings or DashboardSettings()
        sessions = Sessions(settings.secret, settings.session_seconds)
        guard = Guard(users, sessions)

        def desk_of(its: Any) -> Desk:
            return Desk(its, outbox, settings.redaction, settings.trace_url)

        self._apart = {name: Answers(desk_of(its), guard, sessions, settings) for name, its in several.items()}
        looks = {name: KeptLook(its, outbox, settings.look_seconds) for name, its in several.items()}
        of_all = desk_of(next(iter(several.values()), only))
        self._answers = Answers(of_all, guard, sessions, settings, overview(looks) if looks else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; of a connection of another kind, end it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            visit = Visit(Request(scope, receive), self._apart)
            response = await self._apart.get(visit.database, self._answers).to(visit)
            response.headers.update({**headers_of(visit.nonce), **response.headers})
            await response(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def wsgi(self) -> WsgiDashboard:
        """Return it as a WSGI application, for Flask and others; raises MissingExtraError without a2wsgi."""
        return WsgiDashboard(self)


async def _live(receive: Receive, send: Send) -> None:
    """Say that there is nothing to start and nothing to stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

"""The ASGI application: the routes around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import anyio
from fastapi import FastAPI

import asyncflow
from asyncflow.integrations.flowsvr.door.access import Meter
from asyncflow.integrations.flowsvr.door.access_log import AccessLog
from asyncflow.integrations.flowsvr.door.admission import Admission
from asyncflow.integrations.flowsvr.door.hosts import OwnHost
from asyncflow.integrations.flowsvr.door.problems import answer_problems
from asyncflow.integrations.flowsvr.door.reading import BodyReader
from asyncflow.integrations.flowsvr.door.refusals import Refusals
from asyncflow.integrations.flowsvr.routes import dead_letters, health, metrics, tasks, types, work
from asyncflow.integrations.flowsvr.routes.document import document_of
from asyncflow.integrations.flowsvr.routes.metrics import ScrapedPage
from asyncflow.integrations.flowsvr.routes.page import page_route
from asyncflow.integrations.flowsvr.routes.readiness import Readiness
from asyncflow.integrations.flowsvr.together.named_paths import NamedPaths
from asyncflow.integrations.flowsvr.together.one_database import OneDatabase
from asyncflow.integrations.flowsvr.together.several_databases import SeveralDatabases
from asyncflow.integrations.flowsvr.v1 import routes as v1
from asyncflow.repeats import Repeats

_ROUTERS = (types.router, tasks.router, work.router, dead_letters.router, v1.router, health.router)
_TEXT = "Create tasks, hold and settle them, and look at them. Faults are application/problem+json (RFC 9457)."


def app_of(served: OneDatabase | SeveralDatabases, metrics_page: ScrapedPage | None = None) -> FastAPI:
    """Return the application, with a page of metrics if one is given; its lifespan starts and stops the service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.start()
        try:
            yield
        finally:
            await served.stop()

    app = FastAPI(
        title="asyncflow task service",
        version=asyncflow.__version__,
        description=_TEXT,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect leads to whatever Host the client names
        docs_url=None,  # FastAPI's pages are made of files from elsewhere
        redoc_url=None,
    )
    _keep(app, served)
    for router in _ROUTERS:
        app.router.routes.extend(router.routes)
    if metrics_page is not None:
        app.state.metrics, app.state.rendering = metrics_page, anyio.Lock()
        app.router.routes.extend(metrics.router.routes)
    app.router.routes.append(page_route(lambda: app.openapi()))
    answer_problems(app)
    if isinstance(served, SeveralDatabases):
        app.add_middleware(NamedPaths)
    if not served.tokens.demanded:
        app.add_middleware(OwnHost)
    app.add_middleware(AccessLog)
    app.openapi = cache(lambda: document_of(app, (*_ROUTERS, metrics.router)))  # type: ignore[method-assign]
    return app


def _keep(app: FastAPI, served: OneDatabase | SeveralDatabases) -> None:
    """Have the application hold what its routes and its doors ask for by ``app.state``."""
    app.state.served = served
    app.state.service = served.service if isinstance(served, OneDatabase) else None
    app.state.meter = Meter(served.settings.rate_limit_per_second)
    app.state.admission = Admission()
    app.state.refusals = Refusals()
    app.state.troubles = Repeats()
    apart = served.apart if isinstance(served, SeveralDatabases) else {}
    app.state.readiness = {name: Readiness(one.is_ready) for name, one in [(None, served), *apart.items()]}
    app.state.bodies = BodyReader(served.settings)

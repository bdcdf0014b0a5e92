"""The ASGI application: the routes around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

import asyncflow
from asyncflow.integrations.flowsvr.door.access import Meter
from asyncflow.integrations.flowsvr.door.access_log import AccessLog
from asyncflow.integrations.flowsvr.door.admission import Admission
from asyncflow.integrations.flowsvr.door.hosts import OwnHost
from asyncflow.integrations.flowsvr.door.problems import ProblemBody, answer_problems
from asyncflow.integrations.flowsvr.door.reading import BodyReader
from asyncflow.integrations.flowsvr.door.refusals import Refusals
from asyncflow.integrations.flowsvr.routes import dead_letters, health, metrics, tasks, types, work
from asyncflow.integrations.flowsvr.routes.metrics import ScrapedPage
from asyncflow.integrations.flowsvr.routes.page import page_route
from asyncflow.integrations.flowsvr.routes.readiness import Readiness
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.v1 import routes as v1
from asyncflow.repeats import Repeats

_ROUTERS = (types.router, tasks.router, work.router, dead_letters.router, v1.router, health.router)
_TEXT = "Create tasks, hold and settle them, and look at them. Faults are application/problem+json (RFC 9457)."


def app_of(service: TaskService, metrics_page: ScrapedPage | None = None) -> FastAPI:
    """Return the application, with a page of metrics if one is given; its lifespan starts and stops the service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="asyncflow task service",
        version=asyncflow.__version__,
        description=_TEXT,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect leads to whatever Host the client names
        docs_url=None,  # FastAPI's pages are made of files from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    app.state.meter = Meter(service.settings.rate_limit_per_second)
    app.state.admission = Admission()
    app.state.refusals = Refusals()
    app.state.troubles = Repeats()
    app.state.readiness = Readiness(service.is_ready)
    app.state.bodies = BodyReader(service.settings)
    for router in _ROUTERS:
        app.router.routes.extend(router.routes)
    if metrics_page is not None:
        app.state.metrics, app.state.rendering = metrics_page, anyio.Lock()
        app.router.routes.extend(metrics.router.routes)
    app.router.routes.append(page_route(lambda: _document(app)))
    answer_problems(app)
    if not service.tokens.demanded:
        app.add_middleware(OwnHost)
    app.add_middleware(AccessLog)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the schema of problems in place of FastAPI's own of errors."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = ProblemBody.model_json_schema()
        names = {
            (route.path_format, method): route.name
            for router in (*_ROUTERS, metrics.router)
            for route, method in _operations(router)
        }
        for path, route in document["paths"].items():
            for method, operation in route.items():
                operation["operationId"] = _operation_id(path, names.get((path, method)) or operation["operationId"])
                _without_nulls(operation.get("parameters", ()))
        app.openapi_schema = document
    return app.openapi_schema


def _operations(router: APIRouter) -> Iterator[tuple[APIRoute, str]]:
    """Give the routes of a router, each with its methods as the document names them."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                yield route, method.lower()


def _operation_id(path: str, name: str) -> str:
    """Return the name of what a client generates: short, and one for each operation."""
    return f"v1_{name}" if path.startswith("/v1/") else name


def _without_nulls(parameters: Iterable[dict[str, Any]]) -> None:
    """Let a parameter that may be left out be text or a number: in a URL there is no null."""
    for parameter in parameters:
        schema = parameter["schema"]
        kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            schema |= kinds[0]

"""Routes for those who watch the process; they need no token."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from asyncflow.integrations.flowsvr.door.problems import Json, Problem, problem, responses
from asyncflow.integrations.flowsvr.door.route import GuardedRoute
from asyncflow.integrations.flowsvr.routes.answers import ProcessUp, ServiceReady
from asyncflow.integrations.flowsvr.routes.readiness import Readiness
from asyncflow.integrations.flowsvr.together.named_paths import DATABASE

router = APIRouter(route_class=GuardedRoute, tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_model=ProcessUp)
async def is_up() -> Response:
    """Tell that the process is up."""
    return Json({"status": "up"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=ServiceReady, responses={503: responses()[503]})
async def is_ready(request: Request) -> Response:
    """Tell that the database, of several one at least, answers and has the tables, or did within the last second."""
    readiness: Readiness | None = request.app.state.readiness.get(request.scope.get(DATABASE))
    if readiness is None:
        raise Problem(404, "there is no such database")
    fault = await readiness.fault(request)
    return Json({"status": "ready"}) if fault is None else problem(fault.status, str(fault), fault.headers)

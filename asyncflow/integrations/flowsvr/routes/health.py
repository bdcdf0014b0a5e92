"""Routes for those who watch the process; they need no token."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from asyncflow.integrations.flowsvr.door.access import Service
from asyncflow.integrations.flowsvr.door.problems import Json, responses
from asyncflow.integrations.flowsvr.door.route import GuardedRoute

router = APIRouter(route_class=GuardedRoute, tags=["health"])


@router.get("/healthz")
async def is_up() -> Response:
    """Tell that the process is up."""
    return Json({"status": "up"})


@router.get("/readyz", responses={503: responses()[503]})
async def is_ready(service: Service) -> Response:
    """Tell that the database answers and has the tables."""
    await service.is_ready()
    return Json({"status": "ready"})

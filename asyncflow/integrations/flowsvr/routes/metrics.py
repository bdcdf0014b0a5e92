"""The page of metrics, for who has the role; there only where the service was given one."""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter, Request
from starlette.responses import Response

from asyncflow.events import Event
from asyncflow.integrations.flowsvr.door.access import Metrics, Served
from asyncflow.integrations.flowsvr.door.problems import responses
from asyncflow.integrations.flowsvr.door.route import GuardedRoute

router = APIRouter(route_class=GuardedRoute, tags=["health"])


class ScrapedPage(Protocol):
    """Be what the page shows; MetricsPage of asyncflow.integrations.prometheus is one."""

    def hook(self, event: Event, /) -> None:
        """Count one event of the service, or of an enqueue."""
        ...

    def render(self) -> tuple[bytes, str]:
        """Return the page and its content type; any thread may ask."""
        ...


@router.get("/metrics", responses=responses(503), response_class=Response)
async def show_metrics(request: Request, served: Served, _: Metrics) -> Response:
    """Return the metrics of this process and of the whole outbox, as Prometheus takes them."""
    async with request.app.state.rendering:  # one at a time: a database that is slow gets no second look, nor thread
        content, media_type = await served.call(request.app.state.metrics.render)
    return Response(content, media_type=media_type)

"""Make the application, or say how to get what it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from asyncflow.events import Hook
from asyncflow.extra_libraries import library
from asyncflow.integrations.flowsvr.door.tokens import Tokens
from asyncflow.integrations.flowsvr.settings import ServiceSettings
from asyncflow.outbox import Outbox
from asyncflow.scheduler.branches.engines import Engines

if TYPE_CHECKING:
    from fastapi import FastAPI

    from asyncflow.integrations.flowsvr.routes.metrics import ScrapedPage


def make_app(
    engine: Engines,
    outbox: Outbox,
    tokens: Tokens,
    settings: ServiceSettings | None = None,
    hooks: Iterable[Hook] = (),
    metrics: ScrapedPage | None = None,
) -> FastAPI:
    """Return the service as an ASGI application, to be run by ``asyncflow serve`` or any ASGI server.

    With a dict of engines by the names of several databases it serves all of them together, and each below
    ``/databases/NAME``; keys lead to them as ``outbox.route`` does.

    With ``metrics``, a MetricsPage of asyncflow.integrations.prometheus, it serves them at /metrics to tokens of that
    role. Its lifespan starts and stops the monitor. Raises OptionError, or MissingExtraError when FastAPI is not
    installed.
    """
    require_extra()
    from asyncflow.integrations.flowsvr.app import app_of
    from asyncflow.integrations.flowsvr.together.making import served_databases

    if metrics is not None:
        outbox.hooks.add(metrics.hook)
        hooks = [*hooks, metrics.hook]
    return app_of(served_databases(engine, outbox, tokens, settings or ServiceSettings(), hooks), metrics)


def require_extra() -> None:
    """Raise MissingExtraError unless the service's libraries are installed."""
    for module in ("fastapi", "uvicorn"):
        library(module, "the task service", "flowsvr")

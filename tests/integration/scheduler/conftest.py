"""An asynchronous application with the scheduler inside, on each database and asynchronous driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asyncflow import AsyncScheduler
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.logs import Log
from tests.support.application import Application

DRIVERS = {
    "sqlite": ["sqlite+aiosqlite"],
    "mysql": ["mysql+asyncmy"],
    "postgresql": ["postgresql+asyncpg", "postgresql+psycopg"],
}
AtHome = Callable[..., AsyncScheduler]


@pytest.fixture(params=[0, 1], ids=["a driver", "another"])
async def async_engine(request: pytest.FixtureRequest, application: Application) -> AsyncIterator[AsyncEngine]:
    url = application.engine.url
    drivers = DRIVERS[url.get_backend_name()]
    if request.param >= len(drivers):
        pytest.skip("no further driver")
    query = {"charset": "utf8mb4"} if url.get_backend_name() == "mysql" else {}
    # SQLite has one writer: the others wait, and a request is not to be refused for that.
    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if url.get_backend_name() == "sqlite" else {}
    engine = create_async_engine(url.set(drivername=drivers[request.param], query=query), **options)
    yield engine
    await engine.dispose()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """Give what is logged from now on, by this test alone."""
    return Log(caplog)


@pytest.fixture
def at_home(application: Application, async_engine: AsyncEngine) -> AtHome:
    """Make schedulers on the application's own AsyncEngine."""

    def make(**options: Any) -> AsyncScheduler:
        publishers = {"kafka": MemoryPublisher()}
        return AsyncScheduler(async_engine, application.outbox, publishers, hooks=[application.signals], **options)

    return make

"""Fixtures of the write side: an async engine on the same database, and ways of holding a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.integration.outbox.ways import ASYNC_WAYS, WAYS, AsyncWay, Way
from tests.support.application import Application
from tests.support.databases import drop_everything, open_engine

ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "mysql": "mysql+asyncmy", "postgresql": "postgresql+psycopg"}


@pytest.fixture(scope="module")
def lasting_engine(database_url: URL) -> Iterator[Engine]:
    """Give an engine whose tables stay until the end of the module, for making them takes longer than a test."""
    engine = open_engine(database_url)
    yield engine
    drop_everything(engine)
    engine.dispose()


@pytest.fixture
def application(lasting_engine: Engine) -> Iterator[Application]:
    """Give an application with empty tables."""
    application = Application(lasting_engine)
    yield application
    with lasting_engine.begin() as connection:
        for table in application.Base.metadata.tables.values():
            connection.execute(table.delete())


@pytest.fixture
async def async_engine(application: Application) -> AsyncIterator[AsyncEngine]:
    """Give an async engine on the application's database."""
    engine = application.engine
    async_engine = create_async_engine(engine.url.set(drivername=ASYNC_DRIVERS[engine.dialect.name]))
    yield async_engine
    await async_engine.dispose()


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Way:
    """Give each way of holding a transaction."""
    way: Any = request.param
    return way  # type: ignore[no-any-return]


@pytest.fixture(params=ASYNC_WAYS, ids=lambda way: way.__name__)
def async_way(request: pytest.FixtureRequest) -> AsyncWay:
    """Give each way of holding an asynchronous transaction."""
    way: Any = request.param
    return way  # type: ignore[no-any-return]

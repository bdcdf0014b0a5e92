"""Litestar: an AsyncScheduler is a lifespan, a generator ends before the answer, and "autocommit" tells no failure."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from advanced_alchemy.extensions.litestar import SQLAlchemyAsyncConfig, SQLAlchemyPlugin
from litestar import Litestar, post
from litestar.di import Provide
from litestar.testing import AsyncTestClient
from sqlalchemy import NullPool, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from asyncflow import AsyncScheduler, Outbox
from asyncflow.events import SchedulerStopped, TasksSettled
from asyncflow.testing import Signals


class Base(DeclarativeBase):
    pass


class Buyer(Base):
    __tablename__ = "buyers"
    id: Mapped[int] = mapped_column(primary_key=True)


pytestmark = pytest.mark.filterwarnings("ignore")  # theirs
outbox = Outbox(Base.metadata)


@outbox.task()
async def welcome(number: int) -> None:
    """Do nothing."""


@post("/buyers/{number:int}")
async def register(number: int, db_session: AsyncSession) -> dict[str, int]:
    db_session.add(Buyer(id=number))
    welcome.enqueue(db_session, number=number)
    return {"number": number}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[AsyncEngine, None]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}?timeout=60")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


def in_a_dependency(engine: AsyncEngine) -> dict[str, Any]:
    async def db_session() -> AsyncGenerator[AsyncSession, None]:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session

    return {"dependencies": {"db_session": Provide(db_session)}}


def by_autocommit(engine: AsyncEngine) -> dict[str, Any]:
    config = SQLAlchemyAsyncConfig(engine_instance=engine, before_send_handler="autocommit")
    return {"plugins": [SQLAlchemyPlugin(config)]}


class LostError(Exception):
    """Be what a driver raises whose server is gone."""


def lose_commits(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "commit")
    def lose(_: Any) -> None:
        raise LostError


async def answered(app: Litestar, url: str) -> int:
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        return (await client.post(url)).status_code


def tasks(engine: AsyncEngine) -> int:
    """Return how many tasks others see, who have a connection of their own."""
    with closing(sqlite3.connect(str(engine.url.database))) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM asyncflow_task").fetchone()[0])


@pytest.mark.parametrize("way", [in_a_dependency, by_autocommit])
async def test_a_task_commits_with_the_request(engine: AsyncEngine, way: Any) -> None:
    assert await answered(Litestar([register], **way(engine)), "/buyers/1") == 201
    assert tasks(engine) == 1


async def test_of_a_dependency_whose_commit_fails_the_client_is_told(engine: AsyncEngine) -> None:
    lose_commits(engine)
    assert await answered(Litestar([register], **in_a_dependency(engine)), "/buyers/2") == 500
    assert tasks(engine) == 0


async def test_autocommit_tells_nobody_of_a_commit_that_failed_as_the_page_says(engine: AsyncEngine) -> None:
    lose_commits(engine)
    assert await answered(Litestar([register], **by_autocommit(engine)), "/buyers/2") == 201
    assert tasks(engine) == 0


async def test_an_async_scheduler_is_a_lifespan(engine: AsyncEngine) -> None:
    made: list[Signals] = []

    def scheduler(_: Litestar) -> AsyncScheduler:
        made.append(Signals())
        return AsyncScheduler(its, outbox, publishers={}, hooks=[made[-1]])

    # The client runs the application on a loop of its own, and the fixture's engine belongs to that of the test.
    its = create_async_engine(engine.url, poolclass=NullPool)
    app = Litestar([register], lifespan=[scheduler], **in_a_dependency(its))
    for number in (1, 2):  # an application is started again by the next test
        async with AsyncTestClient(app) as client:
            assert (await client.post(f"/buyers/{number}")).status_code == 201
            await asyncio.to_thread(made[-1].wait_for, TasksSettled)
        assert made[-1].of(SchedulerStopped)

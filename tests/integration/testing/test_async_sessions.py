"""The helpers in an AsyncSession: awaited, on the loop of the test, in a transaction of which nothing stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import TaskContext
from asyncflow.testing import MemoryPublisher, advance, assert_enqueued, drain, enqueued, perform, rolled_back_async
from tests.support.application import Application

DRIVERS = {
    "sqlite": ["sqlite+aiosqlite"],
    "mysql": ["mysql+asyncmy"],
    "postgresql": ["postgresql+psycopg", "postgresql+asyncpg"],
}


@pytest.fixture(params=[0, 1])
async def async_engine(request: pytest.FixtureRequest, engine: Engine) -> AsyncIterator[AsyncEngine]:
    drivers = DRIVERS[engine.dialect.name]
    if request.param >= len(drivers):
        pytest.skip("no further driver")
    async_engine = create_async_engine(engine.url.set(drivername=drivers[request.param]))
    yield async_engine
    await async_engine.dispose()


@pytest.fixture
async def session(application: Application, async_engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with rolled_back_async(async_engine) as session:
        yield session
    with application.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(application.outbox.tasks)) == 0


async def test_tasks_are_found_and_drained_with_their_coroutines_on_this_loop(
    application: Application, session: AsyncSession
) -> None:
    outbox, user, publisher = application.outbox, application.User, MemoryPublisher()
    loops: list[object] = []

    @outbox.task()
    async def greet(ctx: TaskContext, account_no: str) -> None:
        loops.append(asyncio.get_running_loop())
        ctx.checkpoint(stage="greeted", context=[account_no])

    @outbox.task(transactional=True)
    def register(session: Session, account_no: str) -> None:
        session.get_one(user, account_no).name = "registered"
        outbox.enqueue(session, greet, account_no=account_no)

    row = user(account_no="A1", name="new")
    session.add(row)
    outbox.enqueue(session, register, account_no="A1", delay_seconds=3600)
    await session.commit()
    assert (await assert_enqueued(session, register, account_no="A1")).delay_seconds > 3000
    assert (await drain(session, outbox=outbox)).left == {"register": 1}
    await advance(session, 3600, outbox=outbox)
    outbox.publish(session, "user.registered", {})
    drained = await drain(session, publisher, outbox=outbox)
    assert (drained.done, drained.sent, drained.left) == (2, 1, {})
    assert loops == [asyncio.get_running_loop()]
    assert row.name == "registered"
    assert await enqueued(session, outbox=outbox) == []


async def test_what_a_coroutine_raises_is_raised(application: Application, session: AsyncSession) -> None:
    @application.outbox.task()
    async def greet(account_no: str) -> str:
        if account_no == "A1":
            raise LookupError(account_no)
        return account_no

    assert await perform(greet, account_no="A2") == "A2"
    with pytest.raises(LookupError, match="A1"):
        await perform(greet, account_no="A1")
    application.outbox.enqueue(session, greet, account_no="A1")
    with pytest.raises(LookupError, match="A1"):
        await drain(session, outbox=application.outbox)


async def test_what_does_not_wait_is_told(application: Application, session: AsyncSession) -> None:
    with pytest.raises(AssertionError, match=r"no task user\.registered"):
        await assert_enqueued(session, "user.registered", outbox=application.outbox)

"""The core promises hold within asynchronous applications with each driver that they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from asyncflow import AsyncScheduler, Status
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.payload import encode
from asyncflow.testing import MemoryPublisher
from tests.integration.drivers.test_promises import PAYLOADS, end_sessions
from tests.integration.scheduler.publishers import ids_of
from tests.support.application import Application
from tests.support.databases import fresh_database, open_engine
from tests.support.drivers import ASYNC, Driver, name_of

LONG = 150.0
LOCK_WAIT = {"mysql": "SET SESSION innodb_lock_wait_timeout = 1", "postgresql": "SET lock_timeout = '1s'"}
READ_ONLY = {
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
}


@pytest.fixture(scope="module", params=ASYNC, ids=name_of)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Give each driver that is installed."""
    driver: Driver = request.param
    driver.require()
    return driver


@pytest.fixture(scope="module")
def usual(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give a synchronous engine on the driver's database."""
    with ExitStack() as until:
        url = until.enter_context(fresh_database(driver.system, tmp_path_factory.mktemp("driver")))
        engine = open_engine(url)
        until.callback(engine.dispose)
        Application(engine)
        yield engine


@pytest.fixture
def application(usual: Engine) -> Iterator[Application]:
    """Give an application with empty tables, whose own engine is the synchronous one."""
    application = Application(usual, has_tables=True)
    yield application
    with usual.begin() as connection:
        for table in reversed(application.Base.metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
async def async_engine(driver: Driver, usual: Engine) -> AsyncIterator[AsyncEngine]:
    """Give the application's AsyncEngine, of the driver in question."""
    engine = create_async_engine(driver.url(usual.url))
    yield engine
    await engine.dispose()


async def all_done(application: Application) -> None:
    async def wait() -> None:
        while set(await asyncio.to_thread(application.statuses)) != {Status.SUCCESS}:
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), LONG)


def at_home(application: Application, engine: AsyncEngine, publisher: MemoryPublisher) -> AsyncScheduler:
    return AsyncScheduler(
        engine, application.outbox, {"kafka": publisher}, hooks=[application.signals], tick=0.2, heartbeat_seconds=0.5
    )


async def test_what_committed_arrives_as_it_was_and_what_rolled_back_never_does(
    application: Application, async_engine: AsyncEngine
) -> None:
    publisher, outbox = MemoryPublisher(), application.outbox
    async with AsyncSession(async_engine) as session:
        outbox.publish(session, "user.registered", {"never": "sent"})
        await session.flush()
        await session.rollback()
    async with AsyncSession(async_engine) as session, session.begin():
        ids = [outbox.publish(session, "user.registered", payload, key="ключ-🔑") for payload in PAYLOADS]
        ids.append(await outbox.publish_async(session, "user.registered", {"n": 1}, idempotency_key="k-é"))
    async with AsyncSession(async_engine) as session, session.begin():
        again = await outbox.publish_async(session, "user.registered", {"n": 2}, idempotency_key="k-é")
    async with at_home(application, async_engine, publisher):
        await all_done(application)
    assert again == ids[-1]
    assert sorted(ids_of(publisher)) == sorted(map(str, ids))
    sent = {dict(record.headers)["message-id"].decode(): record.value for record in publisher.records}
    assert [sent[str(one)] for one in ids[: len(PAYLOADS)]] == [encode(payload)[0] for payload in PAYLOADS]


async def test_a_transactional_coroutine_has_its_effect_with_its_outcome_and_none_without(
    application: Application, async_engine: AsyncEngine
) -> None:
    tries: list[str] = []

    @application.outbox.task(transactional=True, max_retries=3, retry_interval_seconds=0, max_retry_interval_seconds=0)
    async def register(session: AsyncSession, account_no: str) -> None:
        session.add(application.User(account_no=account_no, name="🎉"))
        await session.flush()
        tries.append(account_no)
        if tries == ["A"]:
            raise ValueError("its first try")

    async with AsyncSession(async_engine) as session, session.begin():
        register.enqueue(session, account_no="A")
    async with at_home(application, async_engine, MemoryPublisher()):
        await all_done(application)
    assert tries == ["A", "A"]
    assert [user.name for user in application.rows(select(application.users))] == ["🎉"]


async def test_a_scheduler_goes_on_after_the_server_has_ended_all_its_sessions(
    application: Application, async_engine: AsyncEngine, usual: Engine
) -> None:
    done: list[str] = []

    @application.outbox.task(transactional=True, max_retries=20, retry_interval_seconds=0, max_retry_interval_seconds=0)
    async def note(session: AsyncSession, name: str) -> None:
        await session.execute(text("SELECT 1"))
        done.append(name)

    def enqueue(name: str) -> None:
        with application.session() as session, session.begin():
            note.enqueue(session, name=name)

    async with at_home(application, async_engine, MemoryPublisher()):
        await asyncio.to_thread(enqueue, "before")
        await all_done(application)
        assert await asyncio.to_thread(end_sessions, usual)
        usual.dispose()
        await asyncio.to_thread(enqueue, "after")
        await all_done(application)
    assert set(done) == {"before", "after"}


async def test_locks_that_are_not_had_and_writes_that_are_not_taken_are_known_by_their_errors(
    application: Application, async_engine: AsyncEngine
) -> None:
    with application.session() as session, session.begin():
        session.add(application.User(account_no="A"))
    dialect, name = dialect_of(async_engine.dialect.name), async_engine.dialect.name
    touch: Any = update(application.users).values(name="touched")
    with application.engine.begin() as holder:
        holder.execute(touch)
        async with async_engine.connect() as connection:
            await connection.execute(text(LOCK_WAIT[name]))
            with pytest.raises(DBAPIError) as waited:
                await connection.execute(touch)
            await connection.invalidate()
    async with async_engine.connect() as connection:
        await connection.execute(text(READ_ONLY[name]))
        await connection.commit()
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(touch)
        await connection.invalidate()
    assert dialect.is_lock_wait(waited.value)
    assert dialect.is_contention(waited.value)
    assert dialect.is_refused_write(refused.value)

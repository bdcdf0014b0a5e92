"""A transactional coroutine whose COMMIT is not answered: its work is there once, and its task is done once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asyncflow import AsyncScheduler, Status
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.conftest import DRIVERS
from tests.support.application import Application
from tests.support.proxy import proxy_to

LONG, TASKS = 150.0, 3


async def settled(application: Application) -> None:
    """Wait until no task waits or runs, whatever was told of it."""

    async def wait() -> None:
        while set(application.statuses()) != {Status.SUCCESS}:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(wait(), LONG)


@pytest.mark.parametrize("lost", [1, 2, 3])
@pytest.mark.parametrize("driver", [0, 1])
async def test_work_whose_commit_was_not_answered_is_there_once(
    driver: int, lost: int, application: Application
) -> None:
    url = application.engine.url
    drivers = DRIVERS[url.get_backend_name()]
    if url.get_backend_name() == "sqlite" or driver >= len(drivers):
        pytest.skip("no network, or no further driver")
    user = application.User

    @application.outbox.task(transactional=True, concurrency=1, retry_interval_seconds=0)
    async def register(session: AsyncSession, account_no: str) -> None:
        session.add(user(account_no=account_no))

    with application.engine.begin() as connection:
        for number in range(TASKS):
            register.enqueue(connection, account_no=f"A{number}")
    with proxy_to(url) as (proxy, behind):
        proxy.lose_answers(lambda commit: commit == lost)
        engine = create_async_engine(behind.set(drivername=drivers[driver], query={}))
        publishers = {"kafka": MemoryPublisher()}
        async with AsyncScheduler(engine, application.outbox, publishers, sync_engine=application.engine):
            await settled(application)
        await engine.dispose()
        assert proxy.lost == [lost]
    names = [row.account_no for row in application.rows(select(user.account_no).order_by(user.account_no))]
    assert names == [f"A{number}" for number in range(TASKS)]
    assert application.statuses() == [Status.SUCCESS] * TASKS
    assert [row.retry_count for row in application.rows()] == [1] * TASKS  # no attempt was made twice


async def test_a_commit_in_doubt_is_asked_about_on_a_thread_however_often_the_answer_fails(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = sqlite_application
    user, loops_thread, asked_on = application.User, threading.current_thread(), list[threading.Thread]()
    engine = create_async_engine(f"sqlite+aiosqlite:///{application.engine.url.database}")
    dialect: Any = engine.sync_engine.dialect
    commit = dialect.do_commit

    def lose_answer(connection: Any) -> None:
        commit(connection)
        raise dialect.loaded_dbapi.OperationalError("the answer was lost")

    @application.outbox.task(transactional=True)
    async def register(session: AsyncSession) -> None:
        session.add(user(account_no="A"))
        monkeypatch.setattr(dialect, "do_commit", lose_answer)
        with suppress(SQLAlchemyError):
            await session.commit()
        monkeypatch.setattr(dialect, "do_commit", commit)
        await session.rollback()

    def silent(*_: object) -> bool:
        asked_on.append(threading.current_thread())
        raise ConnectionError("no answer to that, either")

    with application.engine.begin() as connection:
        register.enqueue(connection)
    scheduler = AsyncScheduler(engine, application.outbox, {"kafka": MemoryPublisher()})
    monkeypatch.setattr(scheduler.scheduler.worker._source, "still_holds", silent)
    async with scheduler:
        await settled(application)
    await engine.dispose()
    assert asked_on
    assert loops_thread not in asked_on

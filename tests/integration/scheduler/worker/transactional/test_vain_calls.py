"""A transactional handler that waits for the database in vain, for its task is another one's: it is not waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import AsyncScheduler, Status
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.conftest import DRIVERS
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
LONG = 120.0
PATIENT = {"mysql": "SET innodb_lock_wait_timeout = 600", "postgresql": "SET lock_timeout = '600s'"}
WANTED = select(text("1")).select_from(text("users")).where(text("account_no = 'A'")).with_for_update()


@pytest.fixture
def blocked(application: Application) -> Iterator[None]:
    """Let whoever asks for the user's row wait until the test is over."""
    with application.engine.begin() as connection:
        connection.execute(insert(application.users), {"account_no": "A"})
    with application.engine.connect() as holder:
        holder.execute(WANTED)
        yield
        holder.rollback()


def take_over(application: Application) -> None:
    """Let another one have claimed what is being worked on."""
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        taken = update(tasks).where(tasks.c.status == int(Status.PROCESSING)).values(claim_token=uuid4())
        assert connection.execute(taken).rowcount == 1


@pytest.mark.parametrize("loses", ["its claim", "its time"])
def test_a_function_that_waits_in_vain_gives_its_thread_back(
    loses: str, blocked: None, application: Application
) -> None:
    begun, ended, raised = threading.Event(), threading.Event(), list[BaseException]()
    seconds = 600.0 if loses == "its claim" else 1.0

    @application.outbox.task("waits", transactional=True, max_retries=0, max_processing_time_seconds=seconds)
    def waits(session: Session) -> None:
        session.execute(text(PATIENT[application.engine.dialect.name]))
        begun.set()
        try:
            session.execute(WANTED)
        except Exception as error:
            raised.append(error)
            raise
        finally:
            ended.set()

    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, waits)
    with application.scheduler(claim_lease_seconds=6):
        assert begun.wait(LONG)
        if loses == "its claim":
            take_over(application)
        assert ended.wait(LONG)
        assert raised


async def test_a_coroutine_that_waits_in_vain_is_ended(blocked: None, application: Application) -> None:
    url = application.engine.url
    begun, ended = asyncio.Event(), asyncio.Event()

    @application.outbox.task("waits", transactional=True, max_retries=0)
    async def waits(session: AsyncSession) -> None:
        await session.execute(text(PATIENT[url.get_backend_name()]))
        begun.set()
        try:
            await session.execute(WANTED)
        finally:
            ended.set()

    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, waits)
    engine = create_async_engine(url.set(drivername=DRIVERS[url.get_backend_name()][0], query={}))
    publishers = {"kafka": MemoryPublisher()}
    its: dict[str, Any] = {"sync_engine": application.engine, "claim_lease_seconds": 6}
    async with AsyncScheduler(engine, application.outbox, publishers, **its):
        await asyncio.wait_for(begun.wait(), LONG)
        take_over(application)
        await asyncio.wait_for(ended.wait(), LONG)
    await engine.dispose()


def test_a_function_that_has_committed_and_works_on_is_left_alone(application: Application) -> None:
    committed, done = threading.Event(), threading.Event()

    @application.outbox.task("works_on", transactional=True, max_retries=0, max_processing_time_seconds=1.0)
    def works_on(session: Session) -> None:
        session.execute(insert(application.users), {"account_no": "B"})
        session.commit()
        committed.set()
        with application.engine.connect() as own:
            own.execute(text("SELECT pg_sleep(4)" if own.dialect.name == "postgresql" else "SELECT sleep(4)"))
        done.set()

    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, works_on)
    with application.scheduler(claim_lease_seconds=3):
        assert committed.wait(LONG)
        assert done.wait(LONG)
        eventually(lambda: application.statuses() == [Status.SUCCESS])

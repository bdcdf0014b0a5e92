"""What a handler returned: kept with the outcome, exactly, for as long as the row, or refused."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import CancelTask, Done, Failed, Gone, Pending, Status
from asyncflow.errors import InvalidStageError, OptionError, WrongTargetError
from asyncflow.testing import drain as drain_test
from asyncflow.testing import rolled_back, task_context
from tests.integration.conftest import Schedule
from tests.integration.scheduler.upkeep.test_cleaner import clean, cleaner
from tests.support.application import Application


@dataclass
class Price:
    amount: Decimal
    until: date


PRICE = Price(Decimal("1.50"), date(2030, 1, 2))


def enqueue(application: Application, task: Any, **arguments: Any) -> UUID:
    with application.session() as session, session.begin():
        found: UUID = task.enqueue(session, **arguments)
    return found


def result(application: Application, task_id: UUID) -> Any:
    with application.session() as session:
        return application.outbox.result(session, task_id)


@pytest.mark.parametrize("on_success", ["keep", "delete"])
def test_each_kind_of_handler_keeps_what_it_returns_as_it_was(application: Application, on_success: str) -> None:
    user = application.User

    @application.outbox.task(keep_result=True)
    def price(order: int) -> Price:
        return PRICE

    @application.outbox.task(keep_result=True)
    async def later(order: int) -> list[Decimal]:
        await asyncio.sleep(0)
        return [Decimal("2")]

    @application.outbox.task(keep_result=True, transactional=True)
    def book(session: Session, order: int) -> dict[str, Any]:
        session.add(user(account_no="A1"))
        return {"order": order, "é": None}

    @application.outbox.task
    def plain(order: int) -> object:
        return object()

    ids = [enqueue(application, task, order=1) for task in (price, later, book, plain)]
    assert [result(application, one) for one in ids] == [Pending(Status.PENDING)] * 4
    scheduler = application.scheduler(on_success=on_success)
    scheduler.drain(raise_errors=True)
    scheduler.stop()
    expected = [Done(PRICE), Done([Decimal("2")]), Done({"order": 1, "é": None})]
    assert [result(application, one) for one in ids] == [*expected, Done() if on_success == "keep" else Gone()]
    assert application.outbox.wait_result(application.engine, ids[0], timeout_seconds=0) == expected[0]


def test_a_large_one_is_kept_and_cleaned_with_its_task(application: Application, schedule: Schedule) -> None:
    @application.outbox.task(keep_result=True)
    def large(size: int) -> str:
        return "ü" * size

    task_id = enqueue(application, large, size=100_000)
    schedule().drain()
    assert result(application, task_id) == Done("ü" * 100_000)
    assert len(application.rows(select(application.outbox.contexts))) == 1
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).values(order_time=timedelta(days=-1)))
    clean(cleaner(schedule, success_retention_seconds=0.001))
    assert result(application, task_id) == Gone()
    assert application.rows(select(application.outbox.contexts)) == []


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("x" * 2000, r"the result of bad\(\) is 2002 bytes, the limit is 1000; store it elsewhere"),
        (object(), r"the result of bad\(\) cannot be kept"),
        (Decimal("1.50"), "would come back as '1.50'; annotate what it returns"),
        ((1, 2), "annotate what it returns"),
        (float("nan"), "cannot be kept"),
    ],
)
@pytest.mark.parametrize("transactional", [False, True])
def test_what_cannot_be_kept_fails_the_task_at_once_with_a_sentence(
    sqlite_engine: Any, returned: Any, told: str, transactional: bool
) -> None:
    application = Application(sqlite_engine, max_message_bytes=1000)
    calls: list[int] = []

    if transactional:

        @application.outbox.task(keep_result=True, transactional=True)
        def bad(session: Session):  # type: ignore[no-untyped-def]
            calls.append(1)
            session.add(application.User(account_no="A1"))
            return returned
    else:

        @application.outbox.task(keep_result=True)
        def bad():  # type: ignore[no-untyped-def]
            calls.append(1)
            return returned

    task_id = enqueue(application, application.outbox.handler_types["bad"].handler and bad)
    application.scheduler().drain()
    found = result(application, task_id)
    assert isinstance(found, Failed)
    assert re.search(told, found.error), found.error
    assert calls == [1]
    assert application.rows(select(application.User)) == []


def test_a_task_that_failed_was_cancelled_or_is_not_there_says_so(sqlite_application: Application) -> None:
    @sqlite_application.outbox.task(max_retries=0)
    def bad(how: str) -> None:
        raise CancelTask("not wanted") if how == "cancel" else LookupError("no such order")

    ids = [enqueue(sqlite_application, bad, how=how) for how in ("fail", "cancel")]
    sqlite_application.scheduler().drain()
    failed, cancelled = (result(sqlite_application, one) for one in ids)
    assert (failed.status, cancelled.status) == (Status.FAILED, Status.CANCELLED)
    assert "LookupError: no such order" in failed.error
    assert "CancelTask: not wanted" in cancelled.error
    assert result(sqlite_application, uuid4()) == Gone()


def test_a_session_sees_the_task_that_it_has_just_enqueued(sqlite_application: Application) -> None:
    @sqlite_application.outbox.task(keep_result=True)
    def later() -> int:
        return 1

    with rolled_back(sqlite_application.engine) as session:
        task_id = later.enqueue(session)
        assert sqlite_application.outbox.result(session, task_id) == Pending(Status.PENDING)
        drain_test(session, outbox=sqlite_application.outbox)
        assert sqlite_application.outbox.result(session, task_id) == Done(1)


def test_a_wait_ends_with_the_task_or_with_its_time(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    @sqlite_application.outbox.task(keep_result=True)
    def later() -> int:
        return 1

    task_id = enqueue(sqlite_application, later)
    outbox, engine = sqlite_application.outbox, sqlite_application.engine
    with pytest.raises(TimeoutError, match=f"{task_id} is not done after 0.05 s"):
        outbox.wait_result(engine, task_id, timeout_seconds=0.05)
    sqlite_schedule().start()
    assert outbox.wait_result(engine, task_id) == Done(1)


async def test_an_asynchronous_script_awaits_it(sqlite_application: Application) -> None:
    @sqlite_application.outbox.task(keep_result=True)
    def later() -> int:
        return 1

    task_id = enqueue(sqlite_application, later)
    outbox = sqlite_application.outbox
    engine: AsyncEngine = create_async_engine(sqlite_application.engine.url.set(drivername="sqlite+aiosqlite"))
    with pytest.raises(TimeoutError):
        await outbox.await_result(engine, task_id, timeout_seconds=0.05)
    async with AsyncSession(engine) as session:
        assert await outbox.result_async(session, task_id) == Pending(Status.PENDING)
        with pytest.raises(WrongTargetError, match=r"await outbox\.result_async"):
            outbox.result(session, task_id)
    await asyncio.to_thread(sqlite_application.scheduler().drain)
    assert await outbox.await_result(engine, task_id) == Done(1)
    await engine.dispose()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda app: app.outbox.result(app.session(), "01a2"), "task_id is '01a2'; give the UUID"),
        (lambda app: app.outbox.wait_result(app.session(), uuid4()), "give an Engine"),
        (lambda app: app.outbox.wait_result(app.engine, uuid4(), timeout_seconds=-1), "timeout_seconds is -1"),
        (lambda app: app.outbox.task("t", keep_result="yes"), "keep_result is 'yes'; give True or False"),
    ],
)
def test_what_is_wrong_is_told(sqlite_application: Application, call: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        call(sqlite_application)


def test_no_checkpoint_looks_like_a_result() -> None:
    with pytest.raises(InvalidStageError, match="asyncflow's own"):
        task_context().checkpoint(stage="@result")

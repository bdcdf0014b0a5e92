"""What stands around each attempt of each handler: in order, on every way to call one, and never in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from asyncflow import AsyncScheduler, CancelTask, Outbox, RejectTask, Status, TaskContext
from asyncflow.errors import AroundError
from asyncflow.events import AttemptFailed, HandlerFailedLate
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.scheduler.worker.attempt import Attempt
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.handler_call import Tools
from tests.integration.scheduler.conftest import AtHome
from tests.support.application import Application


class Around:
    """Write down what happens, in order."""

    def __init__(self, outbox: Outbox, seen: list[Any]) -> None:
        self.seen = seen
        outbox.around.add(self.outer)
        outbox.around.add(self.inner)

    @contextmanager
    def outer(self, ctx: TaskContext) -> Iterator[None]:
        self.seen.append(("outer", ctx.task_type, ctx.attempt))
        try:
            yield
        except BaseException as error:
            self.seen.append(("outer saw", type(error).__name__))
            raise
        finally:
            self.seen.append("outer ends")

    @contextmanager
    def inner(self, ctx: TaskContext) -> Iterator[None]:
        self.seen.append("inner")
        yield
        self.seen.append("inner ends")


def all_of(name: str) -> list[Any]:
    return [("outer", name, 1), "inner", name, "inner ends", "outer ends"]


def enqueue(application: Application, name: str, **arguments: Any) -> None:
    with application.session() as session, session.begin():
        application.outbox.enqueue(session, name, **arguments)


def declare(application: Application, seen: list[Any]) -> None:
    user = application.User

    @application.outbox.task(max_retries=0)
    def plain() -> None:
        seen.append("plain")

    @application.outbox.task(transactional=True, max_retries=0)
    def joint(session: Session, how: str = "") -> None:
        seen.append("joint")
        session.add(user(account_no="A1"))
        if how:
            raise RuntimeError(how)

    @application.outbox.task(max_retries=0)
    async def waiting(ctx: TaskContext) -> None:
        await asyncio.sleep(0)
        seen.append("waiting")


@pytest.mark.parametrize("name", ["plain", "quiet", "joint"])
def test_what_is_added_before_an_attempt_that_has_begun_is_called_stands_around_it_and_not_in_its_place(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen: list[Any] = []
    declare(sqlite_application, seen)

    @sqlite_application.outbox.task(max_retries=0)
    async def quiet() -> None:
        seen.append("quiet")

    begin = Attempt.begin

    def begin_and_add(claim: Claim, task_type: HandlerType, tools: Tools) -> Attempt:
        attempt = begin(claim, task_type, tools)
        Around(sqlite_application.outbox, seen)
        return attempt

    monkeypatch.setattr(Attempt, "begin", begin_and_add)
    enqueue(sqlite_application, name)
    sqlite_application.scheduler().drain()
    assert seen == all_of(name)
    assert sqlite_application.statuses() == [Status.SUCCESS]


@pytest.mark.parametrize("name", ["plain", "joint", "waiting"])
def test_the_first_is_outermost_around_each_kind_of_handler(sqlite_application: Application, name: str) -> None:
    seen: list[Any] = []
    Around(sqlite_application.outbox, seen)
    declare(sqlite_application, seen)
    enqueue(sqlite_application, name)
    sqlite_application.scheduler().drain()
    assert seen == all_of(name)
    assert sqlite_application.statuses() == [Status.SUCCESS]


async def test_they_stand_around_coroutines_at_home_and_those_that_commit(
    application: Application, async_engine: AsyncEngine, at_home: AtHome
) -> None:
    seen: list[Any] = []
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")

    @asynccontextmanager
    async def tenancy(ctx: TaskContext) -> AsyncIterator[None]:
        token = tenant.set(ctx.headers["tenant"])
        await asyncio.sleep(0)
        yield
        tenant.reset(token)

    application.outbox.around.add(tenancy)
    user = application.User

    @application.outbox.task()
    async def waiting() -> None:
        seen.append(tenant.get())

    @application.outbox.task(transactional=True)
    async def joint(session: AsyncSession) -> None:
        session.add(user(account_no=tenant.get()))

    with application.session() as session, session.begin():
        for task in (waiting, joint):
            application.outbox.enqueue(session, task, headers={"tenant": "acme"})
    scheduler: AsyncScheduler = at_home()
    assert (await scheduler.drain(raise_errors=True)).done == 2
    assert (seen, tenant.get()) == (["acme"], "nobody")
    async with AsyncSession(async_engine) as session_:
        assert await session_.get(user, "acme") is not None


def test_an_error_of_the_handler_goes_through_them_and_nobody_swallows_it(sqlite_application: Application) -> None:
    seen: list[Any] = []
    Around(sqlite_application.outbox, seen)

    class Swallows:
        def __init__(self, ctx: TaskContext) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *how: Any) -> bool:
            return True

    sqlite_application.outbox.around.add(Swallows)
    declare(sqlite_application, seen)
    enqueue(sqlite_application, "joint", how="broken")
    drained = sqlite_application.scheduler().drain()
    assert ("outer saw", "RuntimeError") in seen
    assert [str(error) for error in drained.errors] == ["broken"]
    assert sqlite_application.statuses() == [Status.FAILED]


@pytest.mark.parametrize("when", ["entered", "left"])
@pytest.mark.parametrize("name", ["plain", "waiting"])
def test_an_error_of_theirs_fails_the_attempt_and_is_told_with_their_name(
    sqlite_application: Application, name: str, when: str
) -> None:
    @contextmanager
    def licensing(ctx: TaskContext) -> Iterator[None]:
        if when == "entered":
            raise OSError("no licence")
        yield
        raise OSError("no licence")

    seen: list[Any] = []
    Around(sqlite_application.outbox, seen)
    sqlite_application.outbox.around.add(licensing)
    declare(sqlite_application, seen)
    enqueue(sqlite_application, name)
    drained = sqlite_application.scheduler().drain()
    assert (name in seen) == (when == "left")
    assert seen[-2:] == [("outer saw", "AroundError"), "outer ends"]
    (error,) = drained.errors
    assert isinstance(error, AroundError)
    assert isinstance(error.__cause__, OSError)
    (row,) = sqlite_application.rows()
    assert row.status == Status.FAILED
    assert f"licensing of Outbox(around=...) raised OSError as it was {when}: no licence" in row.schedule_log
    assert "test_around.py" in row.schedule_log


def test_what_fails_after_the_commit_of_a_transactional_handler_is_told_and_undoes_nothing(
    sqlite_application: Application,
) -> None:
    @contextmanager
    def licensing(ctx: TaskContext) -> Iterator[None]:
        yield
        raise OSError("no licence")

    sqlite_application.outbox.around.add(licensing)
    declare(sqlite_application, [])
    enqueue(sqlite_application, "joint")
    sqlite_application.scheduler().drain()
    assert sqlite_application.statuses() == [Status.SUCCESS]
    assert [type(event.error) for event in sqlite_application.signals.of(HandlerFailedLate)] == [AroundError]


@pytest.mark.parametrize(("signal", "status"), [(CancelTask, Status.CANCELLED), (RejectTask, Status.FAILED)])
def test_they_may_say_how_the_task_goes_on(sqlite_application: Application, signal: Any, status: Status) -> None:
    @contextmanager
    def translating(ctx: TaskContext) -> Iterator[None]:
        try:
            yield
        except LookupError as error:
            raise signal("it is gone") from error

    sqlite_application.outbox.around.add(translating)

    @sqlite_application.outbox.task()
    def find() -> None:
        raise LookupError("nothing there")

    enqueue(sqlite_application, "find")
    sqlite_application.scheduler().drain()
    assert sqlite_application.statuses() == [status]


def test_an_asynchronous_one_that_nobody_could_tell_fails_the_attempt_of_a_function(
    sqlite_application: Application,
) -> None:
    @asynccontextmanager
    async def tenancy() -> AsyncIterator[None]:
        yield

    sqlite_application.outbox.around.add(lambda ctx: tenancy())
    declare(sqlite_application, [])
    enqueue(sqlite_application, "plain")
    sqlite_application.scheduler().drain()
    (failed,) = sqlite_application.signals.of(AttemptFailed)
    assert "asynchronous context manager, and the handler a function; give __enter__ as well" in str(failed.error)


def test_what_they_set_is_gone_when_a_thread_is_used_again(sqlite_application: Application) -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    seen: list[Any] = []

    @contextmanager
    def forgetful(ctx: TaskContext) -> Iterator[None]:
        seen.append(tenant.get("nobody"))
        tenant.set("acme")
        yield

    sqlite_application.outbox.around.add(forgetful)

    @sqlite_application.outbox.task(concurrency=1)
    def plain() -> None:
        seen.append(tenant.get())

    for _ in range(2):
        enqueue(sqlite_application, "plain")
    sqlite_application.scheduler().drain()
    assert seen == ["nobody", "acme"] * 2

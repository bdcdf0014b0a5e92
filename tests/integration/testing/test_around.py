"""What stands around a handler stands around it in a user's test as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, StaticPool, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import TaskContext
from asyncflow.errors import AroundError
from asyncflow.testing import drain, perform, rolled_back, rolled_back_async, task_context
from tests.support.application import Application


class Traced:
    """Have an application whose handlers are traced."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[Any] = []
        self.application = application = Application(engine)
        self.outbox = application.outbox
        self.outbox.around.add(self.tracing)
        user, seen = application.User, self.seen

        @self.outbox.task(max_retries=0)
        def plain(how: str = "") -> str:
            seen.append("plain")
            if how:
                raise LookupError(how)
            return "done"

        @self.outbox.task(transactional=True)
        def joint(session: Session) -> None:
            seen.append("joint")
            session.add(user(account_no="A1"))

        @self.outbox.task()
        async def waiting() -> str:
            seen.append("waiting")
            return "done"

    @contextmanager
    def tracing(self, ctx: TaskContext) -> Iterator[None]:
        self.seen.append(ctx.attempt)
        try:
            yield
        finally:
            self.seen.append("end")


@pytest.fixture
def traced() -> Iterator[Traced]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    yield Traced(engine)
    engine.dispose()


def test_a_drain_calls_handlers_within_them(traced: Traced) -> None:
    with rolled_back(traced.application.engine) as session:
        for name in ("plain", "joint", "waiting"):
            traced.outbox.enqueue(session, name)
        assert drain(session, outbox=traced.outbox).done == 3
        assert session.get(traced.application.User, "A1") is not None
    assert traced.seen == [1, "plain", "end", 1, "joint", "end", 1, "waiting", "end"]


async def test_performing_a_handler_goes_through_them(traced: Traced) -> None:
    assert perform("plain", outbox=traced.outbox, ctx=task_context(attempt=3)) == "done"
    with pytest.raises(LookupError, match="broken"):
        perform("plain", outbox=traced.outbox, how="broken")
    assert await perform("waiting", outbox=traced.outbox) == "done"
    assert traced.seen == [3, "plain", "end", 1, "plain", "end", 1, "waiting", "end"]


def test_an_error_of_theirs_is_raised_with_their_name(traced: Traced) -> None:
    @contextmanager
    def broken(ctx: TaskContext) -> Iterator[None]:
        raise OSError("no licence")
        yield

    traced.outbox.around.add(broken)
    with pytest.raises(AroundError, match=r"broken of Outbox\(around=...\) raised OSError as it was entered"):
        perform("plain", outbox=traced.outbox)


async def test_an_asynchronous_drain_awaits_them(tmp_path: Any) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    application = Application(create_engine(f"sqlite:///{tmp_path}/shop.db?timeout=60"))
    seen: list[Any] = []

    @asynccontextmanager
    async def tracing(ctx: TaskContext) -> AsyncIterator[None]:
        seen.append(ctx.task_type)
        yield
        seen.append("end")

    application.outbox.around.add(tracing)
    user = application.User

    @application.outbox.task(transactional=True)
    async def joint(session: AsyncSession) -> None:
        session.add(user(account_no="A1"))

    async with rolled_back_async(engine) as session:
        application.outbox.enqueue(session, joint)
        assert (await drain(session, outbox=application.outbox)).done == 1
        assert await session.get(user, "A1") is not None
    assert seen == ["joint", "end"]
    await engine.dispose()
    application.engine.dispose()

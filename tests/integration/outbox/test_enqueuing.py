"""A hook that stands around an enqueue: in every way to enqueue, with headers that reach the row, and for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from asyncflow import Call, Message, Outbox
from asyncflow.errors import PayloadTooLargeError
from asyncflow.outbox import outbox as outbox_module
from asyncflow.outbox.enqueuing import Enqueuing
from tests.support.application import Application


class Stamp:
    """Give each new task a header of its own, and write down what came of it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @contextmanager
    def around_enqueue(self, enqueuing: Enqueuing) -> Iterator[None]:
        for task in enqueuing.tasks:
            task.carry({"stamp": str(task.id)})
        try:
            yield
        finally:
            self.seen.append([enqueuing.task_type.name, [(one.id, one.is_new) for one in enqueuing.enqueued]])


def greet(name: str) -> None: ...


Way = Callable[[Outbox, Any], Any]
WAYS: dict[str, Way] = {
    "publish": lambda outbox, to: outbox.publish(to, "user.registered", {}, key="A1"),
    "publish with a key": lambda outbox, to: outbox.publish(to, "user.registered", {}, idempotency_key="once"),
    "publish_many": lambda outbox, to: outbox.publish_many(to, "user.registered", [Message({}), Message({})]),
    "enqueue": lambda outbox, to: outbox.enqueue(to, "greet", name="Ann"),
    "enqueue_many": lambda outbox, to: outbox.enqueue_many(to, "greet", [Call({"name": "Ann"}), Call({"name": "Bo"})]),
}


@pytest.fixture
def stamped(sqlite_application: Application) -> tuple[Application, Stamp]:
    sqlite_application.outbox.task(greet)
    stamp = Stamp()
    sqlite_application.outbox.hooks.add(stamp)
    return sqlite_application, stamp


@pytest.mark.parametrize("on_connection", [False, True], ids=["session", "connection"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_headers_that_a_hook_adds_are_on_the_row_and_it_learns_what_was_written(
    stamped: tuple[Application, Stamp], way: Way, on_connection: bool
) -> None:
    application, stamp = stamped
    with application.engine.begin() if on_connection else application.session() as target:
        way(application.outbox, target)
        if not on_connection:
            target.commit()
    rows = application.rows()
    assert [orjson.loads(row.headers) for row in rows] == [{"stamp": str(row.id)} for row in rows]
    (told,) = stamp.seen
    assert told[0] == rows[0].task_type
    assert sorted(told[1]) == sorted((row.id, True) for row in rows)


def test_in_an_async_session_as_well(stamped: tuple[Application, Stamp]) -> None:
    application, _ = stamped

    async def enqueue() -> None:
        engine = create_async_engine(application.engine.url.set(drivername="sqlite+aiosqlite"))
        async with AsyncSession(engine) as session, session.begin():
            application.outbox.publish(session, "user.registered", {})
            await application.outbox.publish_async(session, "user.registered", {}, idempotency_key="once")
        await engine.dispose()

    asyncio.run(enqueue())
    rows = application.rows()
    assert len(rows) == 2
    assert [orjson.loads(row.headers) for row in rows] == [{"stamp": str(row.id)} for row in rows]


def test_a_task_that_is_there_already_is_told_as_not_new(stamped: tuple[Application, Stamp]) -> None:
    application, stamp = stamped
    with application.session() as session, session.begin():
        first = application.outbox.publish(session, "user.registered", {}, idempotency_key="once")
        application.outbox.publish(session, "user.registered", {}, idempotency_key="once")
    assert [told[1] for told in stamp.seen] == [[(first, True)], [(first, False)]]


def test_tasks_that_follow_carry_the_same(sqlite_application: Application) -> None:
    outbox = sqlite_application.outbox
    greeting = outbox.task(greet)

    class Trace:
        @contextmanager
        def around_enqueue(self, enqueuing: Enqueuing) -> Iterator[None]:
            for task in enqueuing.tasks:
                task.carry({"trace": "t"})
            yield

    outbox.hooks.add(Trace())
    last = greeting.options(headers={"trace": "mine"}).later(name="Cy")
    then = greeting.options(headers={"tenant": "t1"}, then=last).later(name="Bo")
    with sqlite_application.session() as session, session.begin():
        greeting.options(then=then).enqueue(session, name="Ann")
    for _ in range(3):
        sqlite_application.scheduler(on_success="keep").drain()
    headers = [orjson.loads(row.headers) for row in sqlite_application.rows()]
    told = [{name: value for name, value in one.items() if name != "asyncflow-then"} for one in headers]
    assert sorted(told, key=str) == [{"tenant": "t1", "trace": "t"}, {"trace": "mine"}, {"trace": "t"}]


def test_what_is_refused_is_refused_and_a_hook_of_no_context_manager_disturbs_nothing(
    stamped: tuple[Application, Stamp], caplog: pytest.LogCaptureFixture
) -> None:
    application, stamp = stamped

    class Broken:
        def around_enqueue(self, enqueuing: Enqueuing) -> Any:
            raise RuntimeError("of the hook")

    application.outbox.hooks.add(Broken())
    with application.session() as session, session.begin():
        with pytest.raises(PayloadTooLargeError):
            application.outbox.publish(session, "user.registered", "x" * 2_000_000)
        application.outbox.publish(session, "user.registered", {})
    assert len(application.rows()) == len(stamp.seen) == 1
    assert "of the hook" in caplog.text


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_nothing_is_made_for_hooks_where_none_stands_around(
    sqlite_application: Application, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_application.outbox.task(greet)
    sqlite_application.outbox.hooks.add(lambda event: None)
    for name in ("Enqueuing", "add_within"):
        monkeypatch.delattr(outbox_module, name)
    with sqlite_application.session() as session, session.begin():
        way(sqlite_application.outbox, session)
    assert sqlite_application.rows()[0].headers is None

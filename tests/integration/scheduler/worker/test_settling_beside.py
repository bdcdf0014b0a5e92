"""A backlog of tasks: what was done is settled on a thread beside, as the next tasks are claimed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from asyncflow import Call, Status
from asyncflow.events import StepFailed, TasksSettled
from asyncflow.scheduler.loops import second_writer
from tests.integration.conftest import Schedule
from tests.integration.scheduler.settled import wait_for_settled
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

MANY, LIMIT = 400, 40
LONG = 60.0


class Work:
    """Count what was done with each number, and tell of it."""

    def __init__(self) -> None:
        self.done: Counter[int] = Counter()
        self.some = threading.Semaphore(0)

    def __call__(self, number: int) -> None:
        self.done[number] += 1
        self.some.release()


@contextmanager
def noting(engine: Engine, do: Callable[[str, bool], None]) -> Iterator[None]:
    """Call ``do`` before each UPDATE of tasks with its text, and whether the thread beside sends it."""

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE asyncflow_task"):
            do(statement, "asyncflow-settle" in threading.current_thread().name)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", note)


def takes_second_writer(engine: Engine) -> bool:
    return engine.dialect.name != "sqlite"


def enqueue(application: Application, numbers: Iterable[int]) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, "count", [Call({"number": number}) for number in numbers])


@pytest.fixture
def backlog(application: Application) -> Work:
    work = Work()
    application.outbox.task("count", concurrency=1, limit=LIMIT)(work.__call__)
    enqueue(application, range(MANY))
    return work


def test_the_next_tasks_are_claimed_while_some_are_settled_and_each_is_done_once(
    application: Application, backlog: Work, schedule: Schedule
) -> None:
    claims = threading.Semaphore(0)
    waited: list[bool] = []

    def watch(_: str, is_beside: bool) -> None:
        if not is_beside:
            claims.release()
        elif not waited:
            waited.append(all(claims.acquire(timeout=LONG) for _ in ("the first", "the next")))

    with noting(application.engine, watch):
        schedule().drain()

    assert waited == [True] * takes_second_writer(application.engine)
    assert backlog.done == Counter(range(MANY))
    assert set(application.statuses()) == {Status.SUCCESS}


def test_what_could_not_be_settled_beside_is_kept_and_settled(
    application: Application, backlog: Work, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_writer, "_REST_AFTER_FAILURE_SECONDS", 3600.0)  # longer than the backlog, on any machine
    if not takes_second_writer(application.engine):
        pytest.skip("SQLite has one writer at a time")

    def fail(_: str, is_beside: bool) -> None:
        if is_beside:
            raise OSError("no second connection")

    with noting(application.engine, fail):
        schedule().start()
        wait_for_settled(application.signals, "handlers", MANY)

    # Told of once: for a while it then settles by itself.
    told = [failed.error for failed in application.signals.of(StepFailed) if isinstance(failed.error, OSError)]
    assert [str(error) for error in told] == ["no second connection"]
    assert backlog.done == Counter(range(MANY))
    assert set(application.statuses()) == {Status.SUCCESS}


def test_a_scheduler_that_stops_in_the_middle_of_a_backlog_settles_what_it_has_done(
    application: Application, backlog: Work, schedule: Schedule
) -> None:
    scheduler = schedule()
    scheduler.start()
    for _ in range(3 * LIMIT):
        assert backlog.some.acquire(timeout=LONG)
    assert scheduler.stop()
    counts = Counter(application.statuses())
    assert counts == {Status.SUCCESS: len(backlog.done), Status.PENDING: MANY - len(backlog.done)}
    assert sum(settled.succeeded for settled in application.signals.of(TasksSettled)) == len(backlog.done)


def test_what_could_not_be_settled_beside_when_it_stops_is_settled_all_the_same(
    application: Application, backlog: Work, schedule: Schedule
) -> None:
    if not takes_second_writer(application.engine):
        pytest.skip("SQLite has one writer at a time")
    before, scheduler = set(threading.enumerate()), schedule()
    fails, stopped = threading.Event(), threading.Event()

    def fail(_: str, is_beside: bool) -> None:
        if is_beside:
            fails.set()
            assert stopped.wait(LONG)
            raise OSError("the line is cut")

    with noting(application.engine, fail):
        scheduler.start()
        assert fails.wait(LONG)
        threading.Timer(0.2, stopped.set).start()
        assert scheduler.stop()
    counts = Counter(application.statuses())
    assert counts == {Status.SUCCESS: len(backlog.done), Status.PENDING: MANY - len(backlog.done)}
    eventually(lambda: not [one for one in threading.enumerate() if one not in before])


def test_what_comes_while_a_backlog_streams_is_found(
    application: Application, backlog: Work, schedule: Schedule
) -> None:
    late = iter([range(MANY, MANY + 7)])

    def enqueue_late(_: str, is_beside: bool) -> None:
        if len(backlog.done) > MANY // 2 and not is_beside:
            enqueue(application, next(late, ()))

    with noting(application.engine, enqueue_late):
        schedule().drain()
    assert backlog.done == Counter(range(MANY + 7))
    assert set(application.statuses()) == {Status.SUCCESS}

"""A backlog: each round is settled on a thread beside, as the next one is fetched and published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from asyncflow import Scheduler, Status
from asyncflow.events import StepFailed, TasksSettled
from asyncflow.scheduler import Outcome, Record
from asyncflow.scheduler.loops import second_writer
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import LONG, ids_of
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import publish_many, texts
from tests.support.application import Application

_MANY = 2000


class Counting(MemoryPublisher):
    """Tell of each batch that it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self.begun.release()
        return super().publish(batch)


@contextmanager
def before_settling_beside(engine: Engine, do: Callable[[], None]) -> Iterator[list[str]]:
    """Call ``do`` before each statement that settles on the thread beside; collect their texts."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "asyncflow-settle" in threading.current_thread().name and statement.startswith("UPDATE asyncflow_task"):
            sent.append(statement)
            do()

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def backlog(engine: Engine) -> tuple[Application, set[str]]:
    application = Application(engine, shard_count=8)
    return application, texts(publish_many(application, _MANY))


def test_the_next_round_is_published_while_one_is_settled_and_nothing_twice(
    backlog: tuple[Application, set[str]], made: list[Scheduler]
) -> None:
    application, ids = backlog
    publisher = Counting()
    made.append(application.scheduler(publisher))

    def await_the_next() -> None:
        for _ in range(len(application.signals.of(TasksSettled)) + 2):  # those before, this one and the next
            assert publisher.begun.acquire(timeout=LONG), "the next round waits for this one"

    once = iter([await_the_next])
    with before_settling_beside(application.engine, lambda: next(once, lambda: None)()) as sent:
        made[0].drain()

    assert bool(sent) == (application.engine.dialect.name != "sqlite")
    assert len(publisher.records) == _MANY
    assert set(ids_of(publisher)) == ids
    assert set(application.statuses()) == {Status.SUCCESS}


def test_what_could_not_be_settled_beside_is_settled_before_more_is_fetched(
    backlog: tuple[Application, set[str]], made: list[Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_writer, "_REST_AFTER_FAILURE_SECONDS", 3600.0)  # longer than the backlog, on any machine
    application, ids = backlog
    if application.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher))

    def fail() -> None:
        raise OSError("no second connection")

    with before_settling_beside(application.engine, fail):
        made[0].start()
        wait_for_settled(application.signals, "kafka", _MANY)

    # Told of once: for a while it then settles by itself.
    told = [failed.error for failed in application.signals.of(StepFailed) if isinstance(failed.error, OSError)]
    assert [str(error) for error in told] == ["no second connection"]
    assert len(publisher.records) == _MANY
    assert set(ids_of(publisher)) == ids
    assert set(application.statuses()) == {Status.SUCCESS}


def test_stopping_in_the_middle_of_a_backlog_leaves_nothing_published_and_unsettled(
    backlog: tuple[Application, set[str]], made: list[Scheduler]
) -> None:
    application, _ = backlog
    publisher = Counting()
    made.append(application.scheduler(publisher))
    made[0].start()
    for _ in range(3):
        assert publisher.begun.acquire(timeout=LONG)
    assert made[0].stop()
    assert application.statuses().count(Status.SUCCESS) == len(publisher.records) > 0


def test_a_round_that_could_not_be_settled_beside_when_it_stops_is_settled_all_the_same(
    backlog: tuple[Application, set[str]], made: list[Scheduler]
) -> None:
    application, _ = backlog
    if application.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher))
    fails, stopped = threading.Event(), threading.Event()

    def fail() -> None:
        fails.set()
        assert stopped.wait(LONG)
        raise OSError("the line is cut")

    with before_settling_beside(application.engine, fail):
        made[0].start()
        assert fails.wait(LONG)
        threading.Timer(0.2, stopped.set).start()
        assert made[0].stop()
    assert application.statuses().count(Status.SUCCESS) == len(publisher.records) > 0

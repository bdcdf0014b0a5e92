"""Events tell how long tasks had been due when they were fetched, by the database's clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from asyncflow import Call
from asyncflow.events import AttemptFailed, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.declarations.signals import RejectTask
from asyncflow.scheduler import Outcome, Rejected, Retry
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application

OLD = 3600.0


def age(application: Application) -> None:
    """Let all tasks be due for an hour."""
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        past = timedelta(seconds=-OLD)
        connection.execute(update(tasks).values(order_time=past, created_at=past))


def is_old(seconds: float | None) -> bool:
    return seconds is not None and OLD <= seconds < OLD + 600


@pytest.mark.parametrize("ordered", [False, True])
def test_a_settle_of_messages_tells_it_of_each(application: Application, ordered: bool) -> None:
    outbox = application.outbox
    outbox.message("by.key", ordered=ordered)
    with application.session() as session, session.begin():
        for number in range(30):
            outbox.publish(session, "by.key", {}, key=f"k{number}")
    age(application)
    application.scheduler().drain()
    waits = [seconds for event in application.signals.of(TasksSettled) for seconds in event.waits]
    assert len(waits) == 30
    assert all(map(is_old, waits))
    longest = [event.queue_seconds for event in application.signals.of(TasksSettled)]
    assert all(map(is_old, longest))


def test_of_a_fresh_task_it_is_short(application: Application) -> None:
    with application.session() as session, session.begin():
        application.outbox.publish(session, "user.registered", {})
    application.scheduler().drain()
    (settled,) = application.signals.of(TasksSettled)
    assert settled.queue_seconds is not None
    assert 0 <= settled.queue_seconds < 60


class Moody(MemoryPublisher):
    """Refuse two messages, one of them for ever."""

    def publish(self, batch: object) -> list[Outcome]:
        return [Retry("busy"), Rejected("never")]


def test_it_is_told_of_each_message_that_is_not_sent(application: Application) -> None:
    with application.session() as session, session.begin():
        for _ in range(2):
            application.outbox.publish(session, "user.registered", {})
    age(application)
    scheduler = application.scheduler(Moody())
    scheduler.ownership.acquire()
    scheduler.relays[0].step()
    scheduler.ownership.release()
    assert is_old(application.signals.of(TaskRetried)[0].queue_seconds)
    assert is_old(application.signals.of(TaskFailed)[0].queue_seconds)


@pytest.mark.parametrize("transactional", [False, True])
def test_a_settle_of_tasks_and_a_failed_attempt_tell_it(application: Application, transactional: bool) -> None:
    outbox = application.outbox

    def work(n: int) -> None:
        if n == 0:
            raise RejectTask("never")

    def work_in(session: Session, n: int) -> None:
        work(n)

    outbox.task("work", max_retries=0, transactional=transactional)(work_in if transactional else work)
    with application.session() as session, session.begin():
        outbox.enqueue_many(session, "work", [Call({"n": n}) for n in range(3)])
    age(application)
    application.scheduler().drain()
    waits = [seconds for event in application.signals.of(TasksSettled) for seconds in event.waits]
    assert len(waits) == 3
    assert all(map(is_old, waits))
    assert is_old(application.signals.of(AttemptFailed)[0].queue_seconds)
    assert is_old(application.signals.of(TaskFailed)[0].queue_seconds)

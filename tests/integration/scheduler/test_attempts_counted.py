"""What ``retry_count`` tells of a dead letter: the attempts that it has spent, whoever made them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncflow import RejectTask, Status
from asyncflow.events import TaskFailed
from asyncflow.scheduler import Rejected, Retry
from asyncflow.testing import MemoryPublisher, advance, drain
from tests.support.application import Application

Fail = Callable[[Application, int], None]


def by_a_relay(application: Application, max_retries: int) -> None:
    scheduler = application.scheduler(MemoryPublisher(lambda _: Retry("busy")))
    application.outbox.message("any", max_retries=max_retries, retry_interval_seconds=0)
    with application.engine.begin() as connection:
        application.outbox.publish(connection, "any", {})
    scheduler.drain()


def by_a_worker(application: Application, max_retries: int) -> None:
    @application.outbox.task("any", max_retries=max_retries, retry_interval_seconds=0)
    def fail() -> None:
        raise LookupError("no")

    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "any")
    application.scheduler().drain()


def in_a_test(application: Application, max_retries: int) -> None:
    application.outbox.message("any", max_retries=max_retries, retry_interval_seconds=0)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "any", {})
        for _ in range(max_retries + 1):
            publisher = MemoryPublisher(lambda _: Retry("busy"))
            drain(session, publisher, raise_errors=False, outbox=application.outbox)
            advance(session, seconds=60, outbox=application.outbox)


def a_message_that_is_rejected(application: Application, _: int) -> None:
    application.outbox.message("any", max_retries=0)
    scheduler = application.scheduler(MemoryPublisher(lambda _: Rejected("too large")))
    with application.engine.begin() as connection:
        application.outbox.publish(connection, "any", {})
    scheduler.drain()


def a_task_that_is_rejected(application: Application, _: int) -> None:
    @application.outbox.task("any", max_retries=0)
    def reject() -> None:
        raise RejectTask("no such account")

    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "any")
    application.scheduler().drain()


@pytest.mark.parametrize(
    ("fail", "max_retries"),
    [
        *((fail, count) for fail in (by_a_relay, by_a_worker, in_a_test) for count in (0, 7)),
        (a_message_that_is_rejected, 0),
        (a_task_that_is_rejected, 0),
    ],
)
def test_a_dead_letter_has_spent_its_first_attempt_and_all_retries(
    sqlite_application: Application, fail: Fail, max_retries: int
) -> None:
    fail(sqlite_application, max_retries)
    (row,) = sqlite_application.rows()
    assert (row.status, row.retry_count) == (Status.FAILED, max_retries + 1)
    told = sqlite_application.signals.of(TaskFailed)
    assert [event.retry_count for event in told] == ([] if fail is in_a_test else [max_retries + 1])

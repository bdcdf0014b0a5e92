"""The sequence of retries, from the policy to the rows: intervals, attempts, order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from asyncflow import RetryTask, Status
from asyncflow.events import TaskRetried
from tests.support.application import Application

CASES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "doubling": ({"retry_interval_seconds": 1, "max_retry_interval_seconds": 10}, [1, 2, 4, 8, 10, 10]),
    "fixed": ({"retry_interval_seconds": 3, "retry_factor": 1}, [3, 3, 3, 3, 3, 3]),
    "exponential": (
        {"retry_interval_seconds": 1, "max_retry_interval_seconds": 100, "retry_factor": 3},
        [1, 3, 9, 27, 81, 100],
    ),
}


def run(application: Application) -> list[TaskRetried]:
    """Let a task fail until it is FAILED, making each retry due in place of waiting; return what was told."""
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "failing", priority=60)
    scheduler = application.scheduler()
    for _ in range(10):
        scheduler.drain()
        (row,) = application.rows()
        if row.status == Status.FAILED:
            break
        retried = application.signals.of(TaskRetried)[-1]
        waits = row.next_select_time - row.modified_at
        assert abs(waits - timedelta(seconds=retried.delay_seconds)) < timedelta(seconds=0.5)
        assert row.order_time == row.next_select_time
        application.make_due()
    scheduler.stop()
    return application.signals.of(TaskRetried)


@pytest.mark.parametrize("policy", CASES)
def test_a_task_that_always_fails_waits_as_its_policy_says(application: Application, policy: str) -> None:
    options, expected = CASES[policy]

    def failing() -> None:
        raise RuntimeError("no")

    application.outbox.task("failing", max_retries=6, **options)(failing)

    retried = run(application)
    assert [event.delay_seconds for event in retried] == expected
    assert [event.retry_count for event in retried] == [1, 2, 3, 4, 5, 6]
    (row,) = application.rows()
    assert (row.status, row.retry_count, row.priority) == (Status.FAILED, 7, 60)


def test_jitter_shortens_each_wait_by_up_to_its_part(application: Application) -> None:
    @application.outbox.task(max_retries=6, retry_jitter=0.5)
    def failing() -> None:
        raise RuntimeError("no")

    delays = [event.delay_seconds for event in run(application)]
    for delay, whole in zip(delays, [1, 2, 4, 8, 10, 10], strict=True):
        assert whole / 2 <= delay <= whole
    assert delays != [1, 2, 4, 8, 10, 10]


def test_a_handlers_own_delay_takes_the_place_of_the_interval(application: Application) -> None:
    @application.outbox.task(max_retries=2)
    def failing() -> None:
        raise RetryTask("busy", delay_seconds=77)

    assert [event.delay_seconds for event in run(application)] == [77, 77]

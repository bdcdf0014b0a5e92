"""What happened is counted by type and outcome, on whatever thread, and kept within bounds if nobody takes it."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import pytest

from asyncflow.events import ClaimsRanOut, Event, SchedulerStopped, TaskFailed, TaskRetried, TasksSettled
from asyncflow.scheduler.charts.minute_counts import MinuteCounts
from tests.unit.scheduler.test_counters import THREADS, TIMES, at_once


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        (
            TasksSettled("kafka", 5, 2, 1, 0.1, of_types=(("a", 3), ("b", 2))),
            {("a", "succeeded"): 3, ("b", "succeeded"): 2},
        ),
        (TaskRetried(uuid4(), "a", 1, 1.0, "x"), {("a", "retried"): 1}),
        (TaskFailed(uuid4(), "a", 1, "x"), {("a", "failed"): 1}),
        (ClaimsRanOut("a", 4, 1), {("a", "retried"): 4}),  # that it failed is told by a TaskFailed of its own
        (ClaimsRanOut("a", 0, 1), {}),
        (SchedulerStopped("me", True), {}),
    ],
)
def test_an_event_counts_for_its_types(event: Event, counted: dict[tuple[str, str], int]) -> None:
    counts = MinuteCounts(lambda: 0.0)
    counts(event)
    assert sum((one for _, one in counts.take()), Counter()) == counted


def test_what_is_taken_is_taken_once() -> None:
    counts = MinuteCounts(lambda: 61.0)
    counts(TaskFailed(uuid4(), "a", 1, "x"))
    assert [moment for moment, _ in counts.take()] == [65.0]  # within ten seconds of it
    assert counts.take() == []


def test_no_count_is_lost_between_threads() -> None:
    counts = MinuteCounts()
    at_once(lambda: counts(TasksSettled("kafka", 2, 0, 0, 0.0, of_types=(("a", 2),))))
    assert sum((one for _, one in counts.take()), Counter()) == {("a", "succeeded"): 2 * THREADS * TIMES}


def test_a_process_that_never_writes_keeps_the_latest_hours_only() -> None:
    now = [0.0]
    counts = MinuteCounts(lambda: now[0])
    for minute in range(600):
        now[0] = minute * 60.0
        counts(TaskFailed(uuid4(), "a", 1, "x"))
        now[0] += 30.0
        counts(TaskFailed(uuid4(), "a", 1, "x"))
    assert len(counts.take()) == 720

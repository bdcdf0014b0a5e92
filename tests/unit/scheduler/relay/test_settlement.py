from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow import MessageType, Task
from asyncflow.scheduler import SENT, Outcome, Rejected, Retry, Unavailable
from asyncflow.scheduler.relay.settlement import Settlement

KIND = MessageType(name="coupon", destination="kafka", topic="coupon", max_retries=3)


def task(retry_count: int = 0, shard: int = 0) -> Task:
    return Task(uuid.uuid4(), "coupon", shard, None, None, b"{}", retry_count, 3)


def settle(*outcomes: tuple[Task, Outcome]) -> Settlement:
    tasks, known = zip(*outcomes, strict=True)
    return Settlement.of(tasks, known, {"coupon": KIND})


def test_each_outcome_has_its_place() -> None:
    sent, again, never, away = (task() for _ in range(4))
    settlement = settle((sent, SENT), (again, Retry("busy")), (never, Rejected("too large")), (away, Unavailable("x")))
    assert settlement.succeeded == [sent]
    assert settlement.retried == {(1.0, "busy"): [again]}
    assert settlement.failed == {"too large": [never]}
    assert len(settlement) == 3
    assert set(settlement.tasks()) == {sent, again, never}


def test_what_is_unavailable_changes_nothing() -> None:
    assert len(settle((task(), Unavailable("refused")), (task(3), Unavailable("refused")))) == 0


@pytest.mark.parametrize(("retry_count", "delay"), [(0, 1.0), (1, 2.0), (2, 4.0)])
def test_the_delay_follows_the_count_of_the_row(retry_count: int, delay: float) -> None:
    assert list(settle((task(retry_count), Retry("busy"))).retried) == [(delay, "busy")]


@pytest.mark.parametrize(
    ("asked", "delay"), [(0.5, 1.0), (30.0, 30.0), (-5.0, 1.0), (1e12, 86400.0), (float("inf"), 86400.0)]
)
def test_a_destination_may_ask_for_more_time_than_the_policy_has_up_to_a_day(asked: float, delay: float) -> None:
    assert list(settle((task(), Retry("busy", asked))).retried) == [(delay, "busy")]


def test_a_delay_that_is_no_number_is_the_policy_s() -> None:
    assert list(settle((task(), Retry("busy", float("nan")))).retried) == [(1.0, "busy")]


def test_a_task_whose_retries_are_spent_fails() -> None:
    spent = task(retry_count=3)
    assert settle((spent, Retry("busy"))).failed == {"busy": [spent]}


def test_tasks_with_the_same_fate_share_a_statement() -> None:
    settlement = settle(*[(task(), Retry("busy")) for _ in range(5)], (task(1), Retry("busy")))
    assert [len(tasks) for tasks in settlement.retried.values()] == [5, 1]


def test_the_errors_of_different_tasks_are_one_line_of_bounded_length() -> None:
    (error,) = settle((task(), Rejected("a\n\tb   c " + "x" * 10_000))).failed
    assert error.startswith("a b c xxx")
    assert len(error) == 300


@given(st.text(alphabet=st.characters(categories=None)))
def test_any_error_text_can_be_written_to_any_database(text: str) -> None:
    (error,) = settle((task(), Rejected(text))).failed
    assert "\0" not in error
    assert "\n" not in error
    error.encode()


def test_keeping_leaves_out_what_is_not_kept() -> None:
    mine, theirs = task(shard=1), task(shard=2)
    both = settle(
        *[(each, outcome) for each in (mine, theirs) for outcome in (SENT, Retry("busy"), Rejected("too large"))]
    )
    kept = both.keeping(lambda each: each.shard == 1)
    assert list(kept.tasks()) == [mine, mine, mine]
    assert len(kept) == 3

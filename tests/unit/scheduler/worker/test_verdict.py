"""Verdicts: for every sequence of outcomes, attempts and waits are as the policy says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from asyncflow.outbox.declarations.retry import RetryPolicy
from asyncflow.outbox.declarations.signals import NotDone, RetryTask
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.worker.verdict import verdict_of


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 12))
def test_a_task_fails_after_its_retries_and_waiting_spends_none(outcomes: list[bool], max_retries: int) -> None:
    task_type = TaskType(name="any", max_retries=max_retries)
    attempts, delays = 0, []
    for is_failure in outcomes:
        attempts += 1
        error = ValueError("no") if is_failure else NotDone(7)
        verdict = verdict_of(error, task_type, attempts, max_retries)
        attempts -= not verdict.is_spent
        if verdict.status is Status.FAILED:
            break
        if is_failure:
            delays.append(verdict.delay_seconds)

    failures = outcomes.count(True)
    assert (attempts > max_retries) == (failures > max_retries)
    assert delays == [1, 2, 4, 8, *[10] * 100][: min(failures, max_retries)]


_SECONDS = st.floats(0.001, 1e6)


@given(_SECONDS, _SECONDS, st.floats(1, 100), st.floats(0, 1), st.integers(1, 2**31 - 1), st.floats(0, 0.999))
def test_a_wait_grows_to_its_ceiling_and_chance_only_shortens_it(
    first: float, more: float, factor: float, jitter: float, failures: int, chance: float
) -> None:
    ceiling = first + more
    plain = RetryPolicy(interval_seconds=first, max_interval_seconds=ceiling, factor=factor)
    chancy = RetryPolicy(interval_seconds=first, max_interval_seconds=ceiling, factor=factor, jitter=jitter)

    assert first <= plain.delay(failures) <= plain.delay(failures + 1) <= ceiling
    shortened = chancy.delay(failures, lambda: chance)
    assert plain.delay(failures) * (1 - jitter) <= shortened <= plain.delay(failures)


@given(st.integers(1, 10_000))
def test_a_factor_of_one_keeps_the_interval(failures: int) -> None:
    assert RetryPolicy(interval_seconds=3, max_interval_seconds=60, factor=1).delay(failures) == 3


def test_an_error_of_sql_is_told_without_its_parameters() -> None:
    error = IntegrityError("INSERT INTO users VALUES (?)", ("the-secret",), Exception("row 17 is there"))
    told = verdict_of(error, TaskType(name="any"), 1, 3).error
    assert "the-secret" in str(error)
    assert "the-secret" not in told
    assert told.startswith("IntegrityError: (builtins.Exception) row 17 is there [SQL: INSERT INTO users")


class Later(RetryTask):
    """Be a signal of an application's, which has forgotten to call ours."""

    def __init__(self) -> None: ...


class NotYet(NotDone):
    def __init__(self) -> None: ...


@pytest.mark.parametrize("error", [Later(), NotYet()], ids=["retry", "not done"])
@pytest.mark.parametrize(("attempt", "status"), [(1, Status.PENDING), (2, Status.FAILED)], ids=["first", "last"])
def test_a_signal_that_says_nothing_is_judged_as_an_error(error: Exception, attempt: int, status: Status) -> None:
    verdict = verdict_of(error, TaskType(name="any", max_retries=1), attempt, 1)
    assert (verdict.status, verdict.is_spent) == (status, True)

"""Retry policies: fixed, doubling and exponential intervals, with a ceiling and jitter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow import HandlerType
from asyncflow.outbox.declarations.retry import RetryPolicy

seconds = st.floats(0.001, 1e6)
bounds = st.tuples(seconds, seconds).map(sorted)
factors = st.floats(1, 100)
parts = st.floats(0, 1)
failures = st.integers(1, 10**9)


def policy(limits: list[float], factor: float = 2.0, jitter: float = 0.0) -> RetryPolicy:
    interval, ceiling = limits
    return RetryPolicy(interval_seconds=interval, max_interval_seconds=ceiling, factor=factor, jitter=jitter)


def sequence(policy: RetryPolicy, count: int) -> list[float]:
    return [policy.delay(number) for number in range(1, count + 1)]


def test_doubling_from_one_with_a_ceiling_of_ten() -> None:
    assert sequence(policy([1, 10]), 7) == [1, 2, 4, 8, 10, 10, 10]


def test_the_first_interval_is_the_one_asked_for_and_not_its_double() -> None:
    assert sequence(policy([3, 100]), 3) == [3, 6, 12]


@given(bounds, st.integers(1, 60))
def test_doubling_each_interval_is_twice_the_one_before_or_the_ceiling(limits: list[float], number: int) -> None:
    doubling = policy(limits)
    assert doubling.delay(1) == limits[0]
    assert doubling.delay(number + 1) == pytest.approx(min(2 * doubling.delay(number), limits[1]))


@given(seconds, failures)
def test_fixed_all_intervals_are_the_same(interval: float, number: int) -> None:
    assert policy([interval, 1e6], factor=1).delay(number) == interval


@given(bounds, factors, st.integers(1, 60))
def test_exponential_each_interval_grows_by_the_factor_up_to_the_ceiling(
    limits: list[float], factor: float, number: int
) -> None:
    exponential = policy(limits, factor)
    assert exponential.delay(number + 1) == pytest.approx(min(factor * exponential.delay(number), limits[1]))


@given(bounds, factors, parts, failures)
def test_the_ceiling_is_never_passed_and_nothing_overflows(
    limits: list[float], factor: float, jitter: float, number: int
) -> None:
    delay = policy(limits, factor, jitter).delay(number)
    assert 0 <= delay <= limits[1]
    assert math.isfinite(delay)


@given(bounds, factors, parts, st.integers(1, 60), parts)
def test_jitter_takes_away_up_to_its_part_and_adds_nothing(
    limits: list[float], factor: float, jitter: float, number: int, chance: float
) -> None:
    whole = policy(limits, factor).delay(number)
    delay = policy(limits, factor, jitter).delay(number, lambda: chance)
    assert delay == pytest.approx(whole * (1 - jitter * chance))
    assert whole * (1 - jitter) <= delay * (1 + 1e-9)
    assert delay <= whole


def test_without_jitter_chance_is_not_asked() -> None:
    def never() -> float:
        raise AssertionError

    assert policy([1, 10]).delay(3, never) == 4


def test_with_jitter_tasks_that_failed_together_come_back_at_many_moments_and_not_each_at_its_own() -> None:
    assert 40 < len({policy([1, 10], jitter=0.5).delay(4) for _ in range(1000)}) <= 64


@given(factors, st.floats(0, 1e6), failures)
def test_an_interval_of_nothing_stays_nothing(factor: float, ceiling: float, number: int) -> None:
    assert policy([0, ceiling], factor).delay(number) == 0


def test_a_types_options_are_its_policy() -> None:
    kind = HandlerType(
        name="t", retry_interval_seconds=2, max_retry_interval_seconds=50, retry_factor=3, retry_jitter=0.25
    )
    assert kind.retry_policy == RetryPolicy(interval_seconds=2, max_interval_seconds=50, factor=3, jitter=0.25)
    assert kind.retry_delay(1) <= 2

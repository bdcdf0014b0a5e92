"""The token bucket of a rate limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.publishing.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0.01, 1000), st.lists(st.floats(0.001, 5), max_size=50))
def test_no_more_go_than_the_rate_allows_and_one_seconds_worth(rate: float, pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(clock)
    gone = 0
    for pause in pauses:
        clock.now += pause
        allowed = limit.allowance(rate)
        limit.take(allowed)
        gone += allowed
    assert gone <= sum(pauses) * rate + max(rate, 1.0) + 1e-6


def test_with_a_low_rate_one_goes_when_its_time_has_come() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    limit.take(limit.allowance(0.1))
    assert limit.allowance(0.1) == 0
    assert limit.seconds_until_next(0.1) == pytest.approx(10)
    clock.now += 10.001
    assert limit.allowance(0.1) == 1


def test_what_was_not_used_is_not_saved_beyond_a_second() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    clock.now += 3600
    assert limit.allowance(50) == 50

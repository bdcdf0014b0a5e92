from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.publishing.breaker import CLOSED, HALF_OPEN, OPEN, Breaker


class Clock:
    """Stand still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """Hold a breaker with a pause of 1 s that doubles up to 5 s, its clock and what it tells."""

    def __init__(self, pause: float = 1.0, longest: float = 5.0) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, float, str]] = []
        self.breaker = Breaker(lambda *change: self.told.append(change), pause, longest, self.clock)

    def fail(self) -> float:
        """Let a probe fail; return how long the breaker stays open."""
        self.breaker.unavailable("refused")
        return self.breaker.seconds_until_probe()

    def wait_out(self) -> None:
        self.clock.now += self.breaker.seconds_until_probe()

    def states(self) -> list[str]:
        return [state for state, _, _ in self.told]


def test_a_new_breaker_lets_work_pass() -> None:
    bench = Bench()
    assert bench.breaker.state == CLOSED
    assert bench.breaker.seconds_until_probe() == 0.0


def test_the_first_report_of_unavailable_opens_it() -> None:
    bench = Bench()
    assert bench.fail() == 1.0
    assert bench.breaker.state == OPEN


def test_it_stays_open_until_the_pause_is_over() -> None:
    bench = Bench()
    bench.fail()
    bench.clock.now += 0.999
    assert bench.breaker.seconds_until_probe() == pytest.approx(0.001)
    assert bench.breaker.state == OPEN


def test_it_half_opens_when_the_pause_is_over() -> None:
    bench = Bench()
    bench.fail()
    bench.wait_out()
    assert bench.breaker.seconds_until_probe() == 0.0
    assert bench.breaker.state == HALF_OPEN


def test_a_good_probe_closes_it() -> None:
    bench = Bench()
    bench.fail()
    bench.wait_out()
    bench.breaker.seconds_until_probe()
    bench.breaker.available()
    assert bench.breaker.state == CLOSED


def test_the_pause_doubles_up_to_its_ceiling() -> None:
    bench = Bench()
    pauses = []
    for _ in range(6):
        pauses.append(bench.fail())
        bench.wait_out()
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_the_pause_begins_anew_after_a_recovery() -> None:
    bench = Bench()
    bench.fail()
    bench.wait_out()
    bench.fail()
    bench.wait_out()
    bench.breaker.seconds_until_probe()
    bench.breaker.available()
    assert bench.fail() == 1.0


def test_a_ceiling_below_the_first_pause_does_not_shorten_it() -> None:
    bench = Bench(pause=3.0, longest=1.0)
    assert bench.fail() == 3.0


def test_each_change_is_told() -> None:
    bench = Bench()
    bench.fail()
    bench.wait_out()
    bench.breaker.seconds_until_probe()
    bench.breaker.available()
    assert bench.states() == [OPEN, HALF_OPEN, CLOSED]
    assert bench.told[0] == (OPEN, 1.0, "refused")


def test_good_reports_while_closed_are_not_told() -> None:
    bench = Bench()
    bench.breaker.available()
    bench.breaker.available()
    assert bench.states() == []


@given(st.lists(st.sampled_from(["fail", "wait", "look", "succeed"]), max_size=60))
def test_the_wait_never_exceeds_the_ceiling_whatever_happens(steps: list[str]) -> None:
    bench = Bench()
    actions = {
        "fail": bench.fail,
        "wait": bench.wait_out,
        "look": bench.breaker.seconds_until_probe,
        "succeed": bench.breaker.available,
    }
    for step in steps:
        actions[step]()
        wait = bench.breaker.seconds_until_probe()
        assert 0.0 <= wait <= 5.0
        assert (wait > 0) == (bench.breaker.state == OPEN)

"""Claims are renewed while a third of their lease is left, however late the database answered."""

from __future__ import annotations

import pytest

from asyncflow.scheduler.loops import renewal_time
from asyncflow.scheduler.loops.renewal_time import RenewalTime

LEASE = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(renewal_time, "time", clock)
    return clock


@pytest.mark.parametrize("late", [0.0, 5.0, 15.0, 25.0, 60.0])
def test_a_claim_whose_answer_came_late_is_renewed_in_time(clock: Clock, late: float) -> None:
    asked_at, renewal = clock.now, RenewalTime(LEASE)
    clock.now += late
    renewal.take_in([asked_at + LEASE], among_others=False)
    assert renewal.due_at <= max(clock.now, asked_at + 2 * LEASE / 3)
    assert renewal.due_at <= clock.now + LEASE / 3


def test_a_claim_that_came_late_is_not_kept_waiting_by_others(clock: Clock) -> None:
    renewal = RenewalTime(LEASE)
    renewal.take_in([clock.now + LEASE], among_others=False)
    others = renewal.due_at
    renewal.take_in([clock.now + LEASE], among_others=True)
    assert renewal.due_at == others
    renewal.take_in([clock.now + LEASE / 3, clock.now + LEASE], among_others=True)
    assert renewal.due_at == clock.now


def test_what_was_renewed_is_renewed_again_a_third_of_a_lease_after_it_was_asked_for(clock: Clock) -> None:
    renewal = RenewalTime(LEASE)
    renewal.take_in([clock.now + LEASE], among_others=False)
    clock.now += LEASE / 3
    assert renewal.begins()
    asked_at = clock.now
    clock.now += 7.0  # until the answer
    assert renewal.next_at() == asked_at + LEASE / 3


def test_it_is_not_time_before_it_is(clock: Clock) -> None:
    renewal = RenewalTime(LEASE)
    renewal.take_in([clock.now + LEASE], among_others=False)
    clock.now += LEASE / 3 - 0.001
    assert not renewal.begins()

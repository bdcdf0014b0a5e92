"""Rows that were locked a moment ago are left to those who waited for the lock."""

from __future__ import annotations

from asyncflow.scheduler.table.lately_locked import LatelyLocked
from asyncflow.scheduler.table.row_locks import Sorted


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_row_that_was_never_locked_is_taken_at_once() -> None:
    assert LatelyLocked(Clock()).take_in(Sorted({1, 2}, set(), set())) == {1, 2}


def test_a_row_that_was_locked_is_taken_when_it_has_been_free_for_a_while() -> None:
    clock = Clock()
    rows = LatelyLocked(clock)
    assert rows.take_in(Sorted({1}, {2}, set())) == {1}
    assert len(rows) == 1
    clock.now = 60
    assert rows.take_in(Sorted({1, 2}, set(), set())) == {1}
    assert len(rows) == 0
    clock.now = 63
    assert rows.take_in(Sorted({1, 2}, set(), set())) == {1}
    clock.now = 64
    assert rows.take_in(Sorted({1, 2}, set(), set())) == {1, 2}


def test_a_row_that_is_locked_anew_is_waited_for_anew() -> None:
    clock = Clock()
    rows = LatelyLocked(clock)
    for at, free in ((0, set()), (1, {2}), (2, set()), (6, {2})):
        clock.now = at
        assert rows.take_in(Sorted(free, {2} - free, set())) == set()


def test_what_may_have_been_waited_for_was_somebody_elses() -> None:
    clock = Clock()
    rows = LatelyLocked(clock)
    assert rows.take_in(Sorted({1, 2}, set(), {2})) == {1}
    clock.now = 4
    assert rows.take_in(Sorted({1, 2}, set(), set())) == {1, 2}


def test_what_was_not_met_for_long_is_forgotten() -> None:
    clock = Clock()
    rows = LatelyLocked(clock)
    rows.take_in(Sorted(set(), {1}, set()))
    clock.now = 601
    assert rows.take_in(Sorted({1}, set(), set())) == {1}

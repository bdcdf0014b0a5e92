"""What changes seldom is looked at again when its time is over, or when somebody knows better."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from asyncflow.integrations.dashboard.kept import Kept


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def looks() -> Callable[[], int]:
    return count(1).__next__


def test_one_look_serves_until_its_time_is_over() -> None:
    clock, look = Clock(), looks()
    kept = Kept(clock)
    assert [kept.see("a", look, 10.0), kept.see("a", look, 10.0), kept.see("b", look, 10.0)] == [1, 1, 2]
    clock.now = 10.0
    assert kept.see("a", look, 10.0) == 3


def test_what_is_not_to_be_kept_or_is_forgotten_is_looked_at_anew() -> None:
    look, kept = looks(), Kept()
    assert [kept.see("a", look, 10.0, keeps=lambda seen: seen > 1) for _ in range(3)] == [1, 2, 2]
    kept.forget("a")
    assert kept.see("a", look, 10.0) == 3
    kept.forget_all()
    assert kept.see("a", look, 10.0) == 4

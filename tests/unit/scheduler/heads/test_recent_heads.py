from __future__ import annotations

import pytest

from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.heads.recent_heads import RecentHeads


class Look:
    """Be a database with one more shard at each look, and a clock."""

    def __init__(self) -> None:
        self.looks = 0
        self.now = 100.0
        self.seconds = 0.0
        self.recent = RecentHeads(self._look, lambda: self.now)

    def _look(self) -> list[Head]:
        self.looks += 1
        self.now += self.seconds
        return [Head("a", shard, -1.0) for shard in range(self.looks)]


def test_nothing_is_remembered_before_the_first_look() -> None:
    assert not Look().recent.remembered()


def test_a_look_is_remembered_for_a_moment() -> None:
    look = Look()
    seen = look.recent.look()
    look.now += 0.09
    assert look.recent.remembered() == seen
    look.now += 0.02
    assert not look.recent.remembered()
    assert look.looks == 1


def test_a_slow_look_is_remembered_for_longer_and_never_for_long() -> None:
    look = Look()
    look.seconds = 0.009
    look.recent.look()
    look.now += 0.28
    assert look.recent.remembered()
    look.now += 0.02
    assert not look.recent.remembered()
    look.seconds = 0.3
    look.recent.look()
    look.now += 0.19
    assert look.recent.remembered()
    look.now += 0.02
    assert not look.recent.remembered()


def test_what_is_forgotten_is_looked_at_again() -> None:
    look = Look()
    look.recent.look()
    look.recent.forget()
    assert not look.recent.remembered()
    assert len(look.recent.look()) == 2
    assert len(look.recent.remembered()) == 2


def test_nothing_is_remembered_of_a_look_that_failed() -> None:
    answers = iter([[Head("a", 1, -1.0)]])
    recent = RecentHeads(lambda: next(answers), lambda: 100.0)
    recent.look()
    with pytest.raises(StopIteration):
        recent.look()
    assert not recent.remembered()

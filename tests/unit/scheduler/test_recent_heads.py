from __future__ import annotations

from asyncflow.scheduler.queries import Head
from asyncflow.scheduler.recent_heads import RecentHeads


class Look:
    """Be a database with one more shard at each look, and a clock."""

    def __init__(self) -> None:
        self.looks = 0
        self.now = 100.0
        self.recent = RecentHeads(self._look, lambda: self.now)

    def _look(self) -> list[Head]:
        self.looks += 1
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


def test_what_is_forgotten_is_looked_at_again() -> None:
    look = Look()
    look.recent.look()
    look.recent.forget()
    assert not look.recent.remembered()
    assert len(look.recent.look()) == 2
    assert len(look.recent.remembered()) == 2

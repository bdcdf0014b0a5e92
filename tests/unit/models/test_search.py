"""The search finds the shortest way to a fault, and what can never end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.models.search import search


class Steps:
    """Count from 0 by one or by two, and never beyond ``last``."""

    def __init__(self, last: int, *, wrong: int | None = None, goal: int | None = None) -> None:
        self._last = last
        self._wrong = wrong
        self._goal = last if goal is None else goal

    def initial(self) -> int:
        return 0

    def steps(self, state: int) -> Iterator[tuple[str, int]]:
        yield from ((f"+{step}", state + step) for step in (1, 2) if state + step <= self._last)

    def faults(self, state: int) -> list[str]:
        return ["wrong"] if state == self._wrong else []

    def is_goal(self, state: int) -> bool:
        return state == self._goal


def test_all_states_are_gone_through() -> None:
    assert search(Steps(10)).states == 11


def test_the_shortest_way_to_a_fault_is_told() -> None:
    found = search(Steps(10, wrong=5))
    assert (found.fault, len(found.way)) == ("wrong", 3)


def test_a_state_from_which_no_goal_is_in_reach_is_a_fault() -> None:
    found = search(Steps(3, goal=1))
    assert (found.fault, found.way) == ("nothing leads to the end any more", ("+2",))


def test_too_many_states_are_told() -> None:
    with pytest.raises(OverflowError, match="more than 5 states"):
        search(Steps(10), most_states=5)

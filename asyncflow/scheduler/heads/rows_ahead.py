"""Rows of one type that were taken before earlier ones: how far the order is off, until the earlier ones are taken."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

_ROUNDS = 4  # mostly, what is ahead is not any more after one or two


class RowsAhead(NamedTuple):
    """Hold the ``moments`` of rows that one round took, ascending within each of its ``runs``, from start to end.

    ``last`` is the latest of all; those up to ``passed`` are ahead of nothing any more, since ``rounds``.
    """

    moments: Sequence[int]
    runs: Sequence[tuple[int, int]]
    last: int
    passed: int
    rounds: int = 0

    def later_than(self, moment: int) -> int:
        """Return how many of those that are ahead are later than a moment."""
        moment = max(moment, self.passed)
        if self.last <= moment:
            return 0
        return sum(end - end_of(moment, self.moments, start, end) for start, end in self.runs)

    def beyond(self, moment: int) -> RowsAhead | None:
        """Return those that are still ahead when all up to a moment is taken; None if nothing is.

        The others are forgotten after some rounds: to look for them each time would take long.
        """
        moment = max(moment, self.passed)
        if self.last <= moment:
            return None
        rows = self._without(moment) if self.rounds == _ROUNDS else self
        return rows._replace(passed=moment, rounds=self.rounds + 1)

    def _without(self, moment: int) -> RowsAhead:
        moments: list[int] = []
        runs: list[tuple[int, int]] = []
        for start, end in self.runs:
            later = self.moments[end_of(moment, self.moments, start, end) : end]
            if later:
                runs.append((len(moments), len(moments) + len(later)))
                moments += later
        return self._replace(moments=moments, runs=runs)


def end_of(moment: int, moments: Sequence[int], start: int, end: int) -> int:
    """Return where those of a run end that are no later than a moment: mostly it is all of them, or none."""
    if start == end or moments[end - 1] <= moment:
        return end
    return start if moments[start] > moment else bisect_right(moments, moment, start, end)

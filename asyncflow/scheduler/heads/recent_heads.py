"""The heads of the last look, good for a moment more while a backlog streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from asyncflow.scheduler.heads.parts import MOST_LANES, Part
from asyncflow.scheduler.heads.queries import Head, Lane

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.1, 0.5
_PART_OF_TIME = 0.03  # that looks may take
_PART_OF_TIME_OF_MANY = 0.1  # where there are more lanes than a look reads: the others wait for their part
_LONGEST_SEARCH_SECONDS = 1.0  # through the parts, until the next loop's turn
_REST_AFTER_VAIN_SEARCH = 2.0  # times as long as it took
_FEWEST_LANES = MOST_LANES // 2  # of a part: in smaller ones a walk through all of them would take long
_MANY_DUE = 2  # at least one lane is due of so many that were looked for
_WORN = 4  # less than one of so many due lanes is left


class RecentHeads:
    """Look at the heads, and remember them; used by one thread.

    A look costs the database a descent for each lane, and walks over what was settled since it last
    cleaned up: a tenth of a round. Who finds less in a page than it had room for forgets them; what became due since
    the look is found a moment later.

    Where there are too many lanes for a look, each look is at a part of them, which is worked on for a moment: at as
    many as the next round empties, if its reader tells. ``look`` is given how many lanes there may be.
    ``lets_rest`` tells whether a search may be put off, or end before all parts were looked at.
    """

    def __init__(
        self,
        look: Callable[[int], Part],
        clock: Callable[[], float] = time.monotonic,
        lets_rest: Callable[[], bool] = lambda: True,
    ) -> None:
        self._look = look
        self._lets_rest = lets_rest
        self._clock = clock
        self._heads: Sequence[Head] = ()
        self.is_whole = True  # what is remembered is all there is
        self.is_fresh = False  # nothing of it was read yet
        self._last_until = 0.0
        self._worn = 0.0  # fewer due lanes are left of a part that had many
        self._most_lanes = MOST_LANES  # of the next look
        self._next_search_at = float("-inf")

    def remembered(self) -> Sequence[Head]:
        """Return the heads of the last look; none if it is too long ago, or was forgotten, or little of it is left."""
        return self._heads if self._clock() < self._last_until and not self._is_worn() else ()

    def _is_worn(self) -> bool:
        """Tell whether a part that had many due lanes has few left: a round of these costs as much as one of many."""
        return not self.is_whole and _due(self._heads) < self._worn

    def looks(self) -> Iterator[Sequence[Head]]:
        """Look at one part after the other, until all were looked at, or it takes long.

        After a search that was gone through in vain, through many parts, there is none for a while: ``rest_seconds``.
        """
        began = self._clock()
        is_from_first = have_seen_last = False
        while not self.rest_seconds:
            part = self.look()
            yield part.heads
            is_from_first |= part.is_first and not have_seen_last
            is_done = part.is_last and (is_from_first or have_seen_last)
            have_seen_last |= part.is_last
            seconds = self._clock() - began
            self._most_lanes = MOST_LANES  # for there was nothing for its reader
            if is_done or (seconds > _LONGEST_SEARCH_SECONDS and self._lets_rest()):
                self._next_search_at = self._clock() + (0.0 if part.is_whole else seconds * _REST_AFTER_VAIN_SEARCH)
                return

    @property
    def rest_seconds(self) -> float:
        """Return how long there is no search; 0 if there may be one now."""
        return max(0.0, self._next_search_at - self._clock()) if self._lets_rest() else 0.0

    def look(self) -> Part:
        """Look, and remember: the longer, the longer the look took, so that a slow database is asked more seldom."""
        self._heads = ()
        began = self._clock()
        part = self._look(self._most_lanes)
        now = self._clock()
        if part.is_whole:
            until = began + min(max((now - began) / _PART_OF_TIME, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        else:
            until = now + min((now - began) / _PART_OF_TIME_OF_MANY, _LONGEST_SECONDS)
        self._heads, self.is_whole, self._last_until = part.heads, part.is_whole, until
        due = _due(part.heads)
        self._worn = due / _WORN if due * _MANY_DUE > self._most_lanes else 0.0
        self.is_fresh = True
        return part

    def expect(self, lanes: int) -> None:
        """Let the next part hold as many lanes as a round empties; it holds all that a look may have if none did."""
        self._most_lanes = min(max(lanes, _FEWEST_LANES), MOST_LANES)

    def move(self, moved: Mapping[Lane, int | None]) -> None:
        """Remember where lanes go on that were read from; None: nothing was left in one."""
        self.is_fresh = False
        heads = []
        for head in self._heads:
            moment = moved.get((head.task_type, head.shard), head.moment)
            if moment is not None:
                heads.append(head if moment == head.moment else head._replace(moment=moment))
        self._heads = heads

    def forget(self) -> None:
        """Let the next one look."""
        self._heads = ()


def _due(heads: Sequence[Head]) -> int:
    return sum(head.due_in_seconds <= 0 for head in heads)

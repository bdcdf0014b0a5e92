"""The heads of the last look, good for a moment more while a backlog streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from asyncflow.scheduler.heads.queries import Head, Lane

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.1, 0.5
_PART_OF_TIME = 0.03  # that looks may take


class RecentHeads:
    """Look at the heads, and remember them; used by one thread.

    A look costs the database a descent for each lane, and walks over what was settled since it last
    cleaned up: a tenth of a round. Who finds less in a page than it had room for forgets them; what became due since
    the look is found a moment later.
    """

    def __init__(self, look: Callable[[], Sequence[Head]], clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._heads: Sequence[Head] = ()
        self._last_until = 0.0

    def remembered(self) -> Sequence[Head]:
        """Return the heads of the last look; none if it is too long ago, or was forgotten."""
        return self._heads if self._clock() < self._last_until else ()

    def look(self) -> Sequence[Head]:
        """Look, and remember: the longer, the longer the look took, so that a slow database is asked more seldom."""
        self._heads = ()
        began = self._clock()
        heads = self._look()
        seconds = (self._clock() - began) / _PART_OF_TIME
        self._heads, self._last_until = heads, began + min(max(seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        return heads

    def move(self, moved: Mapping[Lane, int | None]) -> None:
        """Remember where lanes go on that were read from; None: nothing was left in one."""
        heads = []
        for head in self._heads:
            moment = moved.get((head.task_type, head.shard), head.moment)
            if moment is not None:
                heads.append(head if moment == head.moment else head._replace(moment=moment))
        self._heads = heads

    def forget(self) -> None:
        """Let the next one look."""
        self._heads = ()

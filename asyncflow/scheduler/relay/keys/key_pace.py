"""The pace of the keys that are read by themselves: how many rows of one go in a round."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from asyncflow.scheduler.publishing.order import Key

FIRST_ROWS = 32
_MOST_ROWS = 512  # which are sent again if this process dies before they are settled
_LEAST_ROWS = 8
# What one round waits for its longest key, in seconds, if all goes as the last time: what others publish meanwhile
# waits for the next.
_AMONG_OTHERS, _ALONE = 0.04, 0.1
_ALONE_AFTER_SECONDS = 1.0


class KeyPace:
    """Let a key have twice the rows when all that it had went, and no more than go in a short time.

    Its rows go one after the other, each when the one ahead was acknowledged. Where that is quick, reading and
    settling a round takes longer than delivering it: the more rows share that, the sooner the key is through. Where it
    is slow, what others publish would wait long for the end of the round. A key that was held up begins anew, so that
    few rows are read in vain. Lives as long as its relay, used by its thread alone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[Key, int] = {}  # of the keys that have come further than the first rows
        self._seconds_a_row = _AMONG_OTHERS / FIRST_ROWS
        self._others_at = float("-inf")

    def meet_others(self) -> None:
        """Know that rows of others stand in the pages: more may come soon."""
        self._others_at = self._clock()

    def rows_of(self, key: Key, most: int) -> int:
        """Return how many rows of a key to read, where a round may have about ``most`` of all keys."""
        fair = max(FIRST_ROWS, most // max(1, len(self._rows)))
        return min(self._rows.get(key, FIRST_ROWS), self._in_time(), fair)

    def _in_time(self) -> int:
        is_alone = self._clock() - self._others_at > _ALONE_AFTER_SECONDS
        return max(_LEAST_ROWS, int((_ALONE if is_alone else _AMONG_OTHERS) / self._seconds_a_row))

    def observe(self, read: Mapping[Key, int], sent: Counter[Key], seconds_a_row: float | None) -> None:
        """Take in how many rows of keys a round had read and sent, and how long each took that waited for another.

        ``sent`` may tell of further keys, which were not read by themselves. The first rows go with those of all others
        and tell nothing of the pace: the time is None if no more went.
        """
        for key, rows in read.items():
            if sent[key] == rows > 0:
                self._rows[key] = min(2 * max(rows, FIRST_ROWS // 2), _MOST_ROWS)
            else:
                self._rows.pop(key, None)
        if seconds_a_row is not None:
            self._seconds_a_row = max(seconds_a_row, _ALONE / _MOST_ROWS)

    def keep(self, is_parked: Callable[[Key], bool]) -> None:
        """Forget keys that are not read by themselves any more, or not here."""
        self._rows = {key: rows for key, rows in self._rows.items() if is_parked(key)}

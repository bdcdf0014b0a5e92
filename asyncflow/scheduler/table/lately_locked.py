"""Rows that were locked a moment ago: who waited for the lock, to write what is done, writes first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from asyncflow.scheduler.table.row_locks import Sorted

_SECONDS = 4.0  # longer than whoever holds a claim pauses between two tries to write
_FORGOTTEN_SECONDS = 600.0
_NEVER = float("inf")


class _Lately(NamedTuple):
    """Tell from when on a row is left to nobody any more, and when it was last met."""

    until: float
    seen_at: float


class LatelyLocked:
    """Remember rows that were found locked, until they have been free for a while; used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[Any, _Lately] = {}

    def __len__(self) -> int:
        """Return how many rows were locked when they were last met."""
        return sum(one.until == _NEVER for one in self._rows.values())

    def take_in(self, found: Sorted) -> set[Any]:
        """Note which rows are locked; return those that are free, and not only since a moment ago."""
        now = self._clock()
        known = {row: one for row, one in self._rows.items() if one.seen_at > now - _FORGOTTEN_SECONDS}
        for row in found.locked:
            known[row] = _Lately(_NEVER, now)
        for row in found.free & (known.keys() | found.waited_for):
            until = known[row].until if row in known else _NEVER
            known[row] = _Lately(min(until, now + _SECONDS), now)
        self._rows = known
        return {row for row in found.free if row not in known or known[row].until <= now}

"""The pace of the cleaner: it gives way to work that lags and to a slow database; far behind, its batches grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_MOST_TIMES = 16  # the set pause, while there is load
_LAG_SECONDS = 1.0  # that tasks were due before they were fetched
_QUICK_SECONDS = 0.02  # a batch that takes no longer disturbs nobody
_SLOW_TIMES = 3.0  # as long as usual
_FEW_ROWS = 100  # cost a transaction what one costs
_USUAL_GROWS = 1.05  # with each batch, where the database has become another for good
_MOST_BEHIND_SECONDS = 1800.0
_NEARLY_CAUGHT_UP = 0.25  # of being that far behind: batches shrink again
_OF_A_LARGE_ONE = 0.5  # takes half as long as the small ones that it stands for
_SHORT_SECONDS = 0.2  # a batch of twice as many rows would take no longer than a long one
_LONG_SECONDS = 0.4  # of a transaction


class CleanedBatch(NamedTuple):
    """Tell of a batch that was cleaned: how many rows in which time, and how long the oldest had been expired.

    Its rows are kept for ``kept_seconds``; ``has_more`` if it took all that it might.
    """

    rows: int
    seconds: float
    behind_seconds: float
    kept_seconds: float
    has_more: bool = True


class CleaningPace:
    """Tell how many rows a batch has, and how long the cleaner waits behind it; lives as long as it.

    Its thread notes, any thread may read. Under load the pause doubles with each batch, and is halved again behind it.
    What load is tell the batch's own time, beside what is usual, and the ``lag`` of the tasks that this process settled
    last, in seconds: no statement is sent for it. Who is far behind gives way no longer, for rows that pile up would
    make everybody slow in the end: its batches grow, up to ``most_rows``, as long as each is a short transaction, for
    a row of a large one costs less.
    """

    def __init__(self, pause_seconds: float, lag: Callable[[], float], rows: int, most_rows: int) -> None:
        self._set = pause_seconds
        self._lag = lag
        self._set_rows = rows
        self._most_rows = most_rows
        self._usual: float | None = None  # seconds a row
        self.rows = rows
        self.pause_seconds = pause_seconds
        self.behind_seconds = 0.0

    def note(self, batch: CleanedBatch) -> None:
        """Take in a batch."""
        self.behind_seconds = max(0.0, batch.behind_seconds)
        far = min(batch.kept_seconds, _MOST_BEHIND_SECONDS)
        is_slow = self._is_slow(batch)
        self.rows = self._rows_behind(batch, far)
        least = self._least_pause
        if self.behind_seconds >= far:
            self.pause_seconds = least
        elif is_slow or self._lag() > _LAG_SECONDS:
            self.pause_seconds = min(2 * self.pause_seconds, _MOST_TIMES * self._set)
        else:
            self.pause_seconds = max(self.pause_seconds / 2, least)

    def note_nothing_left(self) -> None:
        """Know that all is clean."""
        self.behind_seconds = 0.0
        self.pause_seconds, self.rows = self._set, self._set_rows

    def told(self) -> tuple[float, float]:
        """Return for how long the oldest row had been expired, and the pause if load makes it longer, else 0."""
        return self.behind_seconds, self.pause_seconds if self.pause_seconds > self._least_pause else 0.0

    @property
    def _least_pause(self) -> float:
        """Return the set pause, longer behind a large batch: who works has as much of the time as beside small ones."""
        return self._set * max(1.0, _OF_A_LARGE_ONE * self.rows / self._set_rows)

    def _rows_behind(self, batch: CleanedBatch, far: float) -> int:
        """Return how many rows the next batch has."""
        has_caught_up = not batch.has_more or self.behind_seconds < far * _NEARLY_CAUGHT_UP
        if has_caught_up or batch.seconds > _LONG_SECONDS:
            return max(self.rows // 2, self._set_rows)
        if self.behind_seconds >= far and batch.seconds <= _SHORT_SECONDS:
            return min(2 * self.rows, self._most_rows)
        return self.rows

    def _is_slow(self, batch: CleanedBatch) -> bool:
        cost = batch.seconds / max(batch.rows, _FEW_ROWS)
        usual = cost if self._usual is None else self._usual
        if batch.rows <= self._set_rows:  # a row of a larger one costs less, beside which all others would look slow
            self._usual = min(cost, usual * _USUAL_GROWS)
        return batch.seconds > _QUICK_SECONDS and cost > _SLOW_TIMES * usual

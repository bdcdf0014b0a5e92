"""The pace of the cleaner: it gives way to work that lags and to a database that has become slow, up to a point."""

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


class CleanedBatch(NamedTuple):
    """Tell of a batch that was cleaned: how many rows in which time, and how long the oldest had been expired.

    Its rows are kept for ``kept_seconds``.
    """

    rows: int
    seconds: float
    behind_seconds: float
    kept_seconds: float


class CleaningPace:
    """Tell how long the cleaner waits behind a batch; lives as long as it. Its thread notes, any thread may read.

    Under load the pause doubles with each batch, and is halved again behind it. What load is tell the batch's own time,
    beside what is usual, and the ``lag`` of the tasks that this process settled last, in seconds: no statement is sent
    for it. Who is behind gives way no longer: rows that pile up would make everybody slow in the end.
    """

    def __init__(self, pause_seconds: float, lag: Callable[[], float]) -> None:
        self._set = pause_seconds
        self._lag = lag
        self._usual: float | None = None  # seconds a row
        self.pause_seconds = pause_seconds
        self.behind_seconds = 0.0

    def note(self, batch: CleanedBatch) -> None:
        """Take in a batch."""
        self.behind_seconds = max(0.0, batch.behind_seconds)
        is_slow = self._is_slow(batch)
        if self.behind_seconds >= min(batch.kept_seconds, _MOST_BEHIND_SECONDS):
            self.pause_seconds = self._set
        elif is_slow or self._lag() > _LAG_SECONDS:
            self.pause_seconds = min(2 * self.pause_seconds, _MOST_TIMES * self._set)
        else:
            self.pause_seconds = max(self.pause_seconds / 2, self._set)

    def note_nothing_left(self) -> None:
        """Know that all is clean."""
        self.behind_seconds = 0.0
        self.pause_seconds = self._set

    def told(self) -> tuple[float, float]:
        """Return for how long the oldest row had been expired, and the pause if it is longer than it is set, else 0."""
        return self.behind_seconds, self.pause_seconds if self.pause_seconds > self._set else 0.0

    def _is_slow(self, batch: CleanedBatch) -> bool:
        cost = batch.seconds / max(batch.rows, _FEW_ROWS)
        usual = cost if self._usual is None else self._usual
        self._usual = min(cost, usual * _USUAL_GROWS)
        return batch.seconds > _QUICK_SECONDS and cost > _SLOW_TIMES * usual

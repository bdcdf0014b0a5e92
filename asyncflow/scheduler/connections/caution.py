"""Caution: waiting for no lock while rows are known to be locked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from asyncflow.scheduler.connections.database import Database

T = TypeVar("T")
_SECONDS = 5.0


class Caution:
    """Remember for a while that a row was locked, so that it is waited for once, and not by each statement."""

    def __init__(
        self, on_locked: Callable[[int], None] = lambda _: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_locked = on_locked  # told how many rows, when the first is met
        self.rows = 0  # that were locked when it was last looked
        self._clock = clock
        self._until = float("-inf")

    @property
    def is_on(self) -> bool:
        """Tell whether a row was locked a moment ago."""
        return self._clock() < self._until

    def note(self, rows: int) -> None:
        """Know that so many rows are locked."""
        if not rows:
            return
        if not self.is_on:
            self._on_locked(rows)
        self.rows, self._until = rows, self._clock() + _SECONDS

    def run(self, database: Database, work: Callable[[Connection], T], free: Callable[[Connection], T]) -> T:
        """Run ``work``; ``free``, which waits for nobody and notes what is locked, after a lock wait and a while on."""
        if not database.skips_locked:
            return database.run(work)
        return database.run(free) if self.is_on else database.run(work, free)

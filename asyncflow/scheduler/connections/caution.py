"""Caution: waiting for no lock while rows are known to be locked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Hashable
from typing import TypeVar

from sqlalchemy import Connection

from asyncflow.scheduler.connections.database import Database

T = TypeVar("T")
_SECONDS = 5.0
_STANDING_SECONDS = 1.0  # no statement of ours holds a lock for so long


class Caution:
    """Remember for a while that a row was locked, so that it is waited for once, and not by each statement.

    A loop and its second writer may both note one: it is a single moment, of which the later is as good.
    """

    def __init__(self, on_locked: Callable[[int], None] = lambda _: None) -> None:
        self._on_locked = on_locked  # told how many rows, when the first is met
        self._until = float("-inf")

    @property
    def is_on(self) -> bool:
        """Tell whether a row was locked a moment ago."""
        return time.monotonic() < self._until

    def note(self, rows: int) -> None:
        """Know that so many rows are locked."""
        if not rows:
            return
        if not self.is_on:
            self._on_locked(rows)
        self._until = time.monotonic() + _SECONDS

    def meet(self, rows: Collection[Hashable]) -> None:
        """Know that these rows are locked, which were stepped over."""
        self.note(len(rows))

    def run(self, database: Database, work: Callable[[Connection], T], free: Callable[[Connection], T]) -> T:
        """Run ``work``; ``free``, which waits for nobody and notes what is locked, after a lock wait and a while on."""
        if not database.skips_locked:
            return database.run(work)
        return database.run(free) if self.is_on else database.run(work, free)


class SharedCaution(Caution):
    """Remember for many threads, and among processes, whose own statements lock rows for a moment; thread-safe.

    What they step over tells nothing, unless it is found locked again a while later.
    """

    def __init__(self, on_locked: Callable[[int], None]) -> None:
        super().__init__(on_locked)
        self._lock = threading.Lock()
        self._met: dict[Hashable, tuple[float, float]] = {}  # when each was found locked, first and last

    def meet(self, rows: Collection[Hashable]) -> None:
        """Know that these rows were locked at this moment."""
        with self._lock:
            now = time.monotonic()
            kept = {row: met for row, met in self._met.items() if met[1] > now - _SECONDS}
            self._met = kept | {row: (kept.get(row, (now, now))[0], now) for row in rows}
            standing = sum(now - self._met[row][0] >= _STANDING_SECONDS for row in rows)
        self.note(standing)

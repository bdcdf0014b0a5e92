"""The instances that have died or left: what they had claimed, nobody works on any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection


class Departed:
    """Remember them for as long as claims of theirs may last, unless they come back; any thread may use it."""

    def __init__(self, keep_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}

    def see(self, present: Collection[str], gone: Collection[str]) -> bool:
        """Take in who is there and who is not; return whether anybody has departed since the last time."""
        now = self._clock()
        with self._lock:
            kept = {name: since for name, since in self._since.items() if name in gone or self._lasts(since, now)}
            new = set(gone) - kept.keys() - set(present)
            self._since = {name: since for name, since in kept.items() if name not in present} | dict.fromkeys(new, now)
            return bool(new)

    def names(self) -> frozenset[str]:
        """Return those whose claims may not have run out by themselves yet."""
        now = self._clock()
        with self._lock:
            return frozenset(name for name, since in self._since.items() if self._lasts(since, now))

    def departures(self) -> frozenset[tuple[str, float]]:
        """Return these with the moments at which each was missed: who comes back and goes again has departed anew."""
        now = self._clock()
        with self._lock:
            return frozenset(pair for pair in self._since.items() if self._lasts(pair[1], now))

    def _lasts(self, since: float, now: float) -> bool:
        return now - since < self._keep_seconds

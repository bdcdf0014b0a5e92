"""A lock whose holders come in the order in which they asked."""

from __future__ import annotations

import threading
import time
from bisect import insort
from itertools import count


class FairLock:
    """Be held by one thread at a time, and go to whoever has waited longest; any thread may ask.

    A plain lock goes to whoever asks first after it is free, which is mostly the one who has just let go of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, threading.Event]] = []  # by when they asked, and of one moment in turn
        self._numbers = count()
        self._is_held = False

    def acquire(self, timeout_seconds: float, asked_at: float | None = None) -> bool:
        """Wait for it for so long at most; return whether it is held now.

        Who has waited before in vain gives the moment, by the monotonic clock, in which it has asked first.
        """
        with self._lock:
            if not self._is_held:
                self._is_held = True
                return True
            given = threading.Event()
            mine = (time.monotonic() if asked_at is None else asked_at, next(self._numbers), given)
            insort(self._waiting, mine)
        if given.wait(timeout_seconds):
            return True
        with self._lock:
            if given.is_set():  # in this very moment
                return True
            self._waiting.remove(mine)
            return False

    def release(self) -> None:
        """Give it to the next; the holder calls it."""
        with self._lock:
            if self._waiting:
                self._waiting.pop(0)[-1].set()
            else:
                self._is_held = False

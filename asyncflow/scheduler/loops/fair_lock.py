"""A lock whose holders come in the order in which they asked."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """Be held by one thread at a time, and go to whoever has waited longest; any thread may ask.

    A plain lock goes to whoever asks first after it is free, which is mostly the one who has just let go of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_held = False

    def acquire(self, timeout_seconds: float) -> bool:
        """Wait for it for so long at most; return whether it is held now."""
        with self._lock:
            if not self._is_held:
                self._is_held = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(timeout_seconds):
            return True
        with self._lock:
            if mine.is_set():  # given in this very moment
                return True
            self._waiting.remove(mine)
            return False

    def release(self) -> None:
        """Give it to the next; the holder calls it."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_held = False

"""The drains of one scheduler: one after the other, for each uses all that a loop would use alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Drains:
    """Let one thread drain at a time, while others await their turn; belongs to one process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a hook of a start, on its thread, may stop
        self._thread: int | None = None  # that drains

    def is_current(self) -> bool:
        """Tell whether the caller's thread drains."""
        return self._thread == threading.get_ident()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Drain in the block, when those before have ended; not to be called on a thread that drains."""
        with self._lock:
            self._thread = threading.get_ident()
            try:
                yield
            finally:
                self._thread = None

    @contextmanager
    def over(self, seconds: float = threading.TIMEOUT_MAX) -> Iterator[bool]:
        """Await the end of the one at work, at most so long, and let none begin in the block; tell whether it ended."""
        is_over = self._lock.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))
        try:
            yield is_over
        finally:
            if is_over:
                self._lock.release()

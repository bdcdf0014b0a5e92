"""The pause of garbage collection: up to Python 3.11 it calls finalizers in the middle of whatever allocates."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from asyncflow.forks import leave_at_fork


class GarbagePause:
    """Pause the collection for a moment; for one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._collected = False  # before
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Have it as it was: the pause in hand is the parent's."""
        self._lock = threading.Lock()
        self._end()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause it for the block, which waits for nothing."""
        with self._lock:
            try:  # from here on, for a signal may raise anywhere
                self._collected = gc.isenabled()
                gc.disable()
                yield
            finally:
                self._end()

    def _end(self) -> None:
        if self._collected:
            self._collected = False
            gc.enable()

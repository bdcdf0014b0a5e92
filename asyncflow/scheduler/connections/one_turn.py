"""A turn of one thread in which no other runs: for looks at what others change as soon as they go on."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from asyncflow.forks import leave_at_fork

_LONG_SECONDS = 10.0  # what is done in a turn takes less than a thousandth


class OneTurn:
    """Switch off, for a moment, the changes between threads, and the collector, which calls what it finds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: tuple[float, bool] | None = None
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Have all as it was: the turn in hand is the parent's."""
        self._lock = threading.Lock()
        self._end()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the turn for the block, which waits for nothing."""
        with self._lock:
            self._before = sys.getswitchinterval(), gc.isenabled()
            try:  # from here on, for a signal may raise anywhere
                sys.setswitchinterval(_LONG_SECONDS)
                time.sleep(0)  # who waits for a turn already has it now
                gc.disable()
                yield
            finally:
                self._end()

    def _end(self) -> None:
        if self._before is not None:
            interval, collects = self._before
            self._before = None
            if collects:
                gc.enable()
            sys.setswitchinterval(interval)

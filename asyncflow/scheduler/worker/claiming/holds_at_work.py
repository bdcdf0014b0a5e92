"""How many threads of this process claim at this moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from asyncflow.forks import leave_at_fork


class HoldsAtWork:
    """Count holds, by any thread of one process: a forked child has none of its parent's at work."""

    def __init__(self) -> None:
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Count from none in a forked child."""
        self._counting = threading.Lock()
        self._count = 0

    @contextmanager
    def one_more(self) -> Iterator[int]:
        """Count this hold as one at work; tell how many others are."""
        with self._counting:
            others = self._count
            self._count += 1
        try:
            yield others
        finally:
            with self._counting:
                self._count -= 1

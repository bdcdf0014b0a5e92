"""No fork in the middle of our calls to SQLite: a child would find its mutexes held by threads that are not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE_SECONDS = 10.0  # then the fork goes on: a call may wait for another process that has locked the file


class SqliteCalls:
    """Know how many of our calls are under way, and let a fork wait until none is; used by all threads."""

    def __init__(self) -> None:
        self._begin_anew()
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._begin_child
        )

    @contextmanager
    def one(self) -> Iterator[None]:
        """Make a call, or several, between which no fork comes in."""
        nested = getattr(self._of_thread, "calls", 0)
        with self._changed:
            if not nested:  # one that is under way is waited for, whatever it calls itself
                self._changed.wait_for(lambda: not self._forks, _PATIENCE_SECONDS)
            self._calls += 1
        self._of_thread.calls = nested + 1
        try:
            yield
        finally:
            self._of_thread.calls = nested
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._of_thread = threading.local()
        self._calls = self._forks = 0

    def _begin_child(self) -> None:
        """Have the calls of the thread that forked, the only one that is there."""
        own = getattr(self._of_thread, "calls", 0)
        self._begin_anew()
        self._of_thread.calls = self._calls = own

    def _before_fork(self) -> None:
        own = getattr(self._of_thread, "calls", 0)
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: self._calls <= own, _PATIENCE_SECONDS)

    def _after_fork(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()


sqlite_calls = SqliteCalls()

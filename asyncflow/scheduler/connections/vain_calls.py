"""Database calls that are waited for in vain, by work whose transaction cannot commit any more: they are ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from asyncflow.outbox.lines.driver_sockets import cut_lines_of
from asyncflow.outbox.lines.line import WATCH

_AGAIN_SECONDS = 2.0  # after a cut: a pool whose connection was dead opens another one, which may be as silent


class VainCalls:
    """End, once told to, the calls of a database that the thread that made this waits for, until ``close``.

    Its transaction would hold its locks, its connection and the thread for as long as the database says nothing.
    ``are_vain`` is asked before each cut: what has committed meanwhile goes on with what it likes.
    """

    def __init__(self, are_vain: Callable[[], bool]) -> None:
        self._are_vain = are_vain
        self._process = os.getpid()
        self._thread = threading.current_thread()
        self._lock = threading.Lock()
        self._is_closed = False
        self._next = float("-inf")

    def end(self) -> None:
        """End what is waited for, now and later; any thread may call, as often as it likes."""
        with self._lock:
            if not self._is_closed:
                WATCH.add(self)

    def cut_if_late(self, now: float) -> None:
        """Shut down what the thread waits for; called by the watch."""
        with self._lock:  # the thread does something else only when this is done
            if self._is_closed or now < self._next or not self._are_vain():
                return
            if cut_lines_of(self._thread):
                self._next = now + _AGAIN_SECONDS

    def close(self) -> None:
        """Let the thread be, which has ended this work; called by it."""
        if os.getpid() != self._process:
            return  # a handler that has forked: nobody watches here, and the lock may be held in the parent
        with self._lock:
            self._is_closed = True
        WATCH.discard(self)

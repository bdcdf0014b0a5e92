"""SIGTERM and SIGINT, as the commands that run until then hear them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from asyncflow.forks import leave_at_fork

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopHeard(BaseException):
    """Leave what may take long and has nothing to give back, such as the import of an application."""


class StopSignals:
    """Note the first SIGTERM or SIGINT, from a command's first moment on; a second one ends the process at once."""

    def __init__(self) -> None:
        self.is_heard = False
        self._cuts_short = False

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._hear) for number in _STOPPING}
        leave_at_fork(self)
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_heard:
            self._restore()

    @contextmanager
    def cutting_short(self) -> Iterator[None]:
        """Raise StopHeard within, as soon as a signal comes, or at once if one has come."""
        if self.is_heard:
            raise StopHeard
        self._cuts_short = True
        try:
            yield
        finally:
            self._cuts_short = False
        if self.is_heard:  # and caught by somebody in between
            raise StopHeard

    def leave_to_parent(self) -> None:
        """Let signals to the child of a fork end it, as its parent expects."""
        self._restore()

    def _hear(self, _: int, __: FrameType | None) -> None:
        self.is_heard = True
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        if self._cuts_short:
            raise StopHeard

    def _restore(self) -> None:
        before: Any
        for number, before in self._before.items():
            signal.signal(number, before or signal.SIG_DFL)


_forking = threading.local()


def _hold() -> None:
    """Let the child get no signal before its handlers are its own: it would be heard by ours there, or by nobody."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)


def _let_come() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


# In the child after those of ``forks``, which was imported first.
os.register_at_fork(before=_hold, after_in_parent=_let_come, after_in_child=_let_come)

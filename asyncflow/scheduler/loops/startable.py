"""What is started once and stopped once, by one process."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from asyncflow.forks import StaysHere

if TYPE_CHECKING:
    from typing_extensions import Self


class Startable(StaysHere, ABC):
    """Be started and stopped, each once, or both by a ``with``; in the child of a fork a copy lives anew, or not.

    Any thread may start or stop it: what is true of its life is written under ``_lifecycle``.
    """

    def __init__(self) -> None:
        self._used_by: int | None = None  # the first process that started it
        self._is_copy = False  # of one that the parent made

    @abstractmethod
    def start(self) -> None:
        """Begin; a second call does nothing."""

    @abstractmethod
    def stop(self, timeout_seconds: float | None = None) -> bool:
        """End, finishing what is in hand; return whether all ended in time. A second call tells the same of the first.

        What an end waits for only begins it: it goes on aside, and False is returned.
        """

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it was stopped; return whether it was."""
        self._is_parents()
        return self._ended.wait(timeout_seconds)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _begin_life(self) -> None:
        """Have locks and signals of this process, and be neither started nor ended."""
        self._lifecycle = threading.RLock()  # a hook on our thread may call back
        self._started = False
        self._is_ending = False
        self._is_clean = True  # unless the end has come, and was none
        self._ended = threading.Event()

    def _end_aside(self, timeout_seconds: float | None) -> bool:
        """Let a thread of its own stop it, for an end waits for the caller's; return whether it has ended."""
        if not self._is_ending:
            end_aside(partial(self.stop, timeout_seconds))
        return self._ended.is_set()

    def is_working_here(self) -> bool:
        """Tell whether the caller is what an end waits for: a loop, a handler, a job, or something they await."""
        return False

    def _is_parents(self) -> bool:
        """Tell whether what is here is the parent's of this process, of which nothing is ours to end."""
        return self._is_copy and self._used_by not in (None, os.getpid())


def end_aside(end: Callable[[], object]) -> None:
    """End something on a thread that it does not wait for; raises RuntimeError if the system gives no more threads."""
    threading.Thread(target=end, name="asyncflow-stop", daemon=True).start()

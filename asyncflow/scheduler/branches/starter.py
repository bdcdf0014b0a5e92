"""The starter of one database among several: it tries until the database is there."""

from __future__ import annotations

import threading

from asyncflow.scheduler.branches.branch import Branch
from asyncflow.scheduler.loops.loop import Loop


class Starter:
    """Begin a branch on a thread of its own, again and again until it has begun; ``tried`` counts first tries.

    Its thread ends when the branch runs; what failed is told as a step of the loop ``start``.
    """

    def __init__(self, branch: Branch, tried: threading.Semaphore) -> None:
        self.branch = branch
        self.error: Exception | None = None
        self._tried = tried
        self._is_first = True
        self._trying = threading.Lock()
        self._has_given_up = False
        self._loop = Loop("start", self._try, branch.instance.hooks)

    def start(self) -> None:
        """Begin to try."""
        self._loop.start()

    def stop(self, seconds: float) -> bool:
        """Try no more, and wait for the try in hand; return whether it has ended."""
        return self._loop.stop(seconds)

    def give_up(self, seconds: float) -> bool:
        """Try no more, and wait for the try in hand, not for hooks that hear of it; return whether it is over."""
        self._has_given_up = True
        self._loop.ask_to_stop()
        is_over = self._trying.acquire(timeout=max(0.0, seconds))
        if is_over:
            self._trying.release()
        return is_over

    def is_current(self) -> bool:
        """Tell whether the caller is on its thread."""
        return self._loop.is_current()

    def _try(self) -> float:
        with self._trying:
            if not self._has_given_up:
                self._begin()
        self._loop.ask_to_stop()
        if self.branch.is_begun:
            self.branch.tell_started()
        return 0.0

    def _begin(self) -> None:
        try:
            self.branch.begin()
        except Exception as error:
            self.error = error
            raise
        finally:
            if self._is_first:
                self._is_first = False
                self._tried.release()

"""The second writer of a loop: one write at a time, on a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from asyncflow.events import Hooks, StepFailed
from asyncflow.scheduler.loops.threads import Threads

T = TypeVar("T")
_REST_AFTER_FAILURE_SECONDS = 60.0


class SecondWriter(Generic[T]):
    """Do a write on a daemon thread while its loop goes on; used by that loop's thread alone.

    One that failed is told of as StepFailed and has written nothing, for all the loop knows. It then writes by itself
    for a while: the pool or the server may have no second connection to give.
    """

    def __init__(self, loop_name: str, hooks: Hooks, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop_name = loop_name
        self._hooks = hooks
        self._clock = clock
        self._threads = Threads(f"asyncflow-settle-{loop_name}")
        self._written: Future[T] | None = None
        self._rests_until = float("-inf")

    def __bool__(self) -> bool:
        return self._written is not None

    @property
    def is_free(self) -> bool:
        """Tell whether a write may begin."""
        return self._written is None and self._clock() >= self._rests_until

    def begin(self, write: Callable[[], T]) -> None:
        """Begin a write; ``end`` returns what it returns."""
        written: Future[T] = Future()
        self._written = written

        def run() -> None:
            try:
                written.set_result(write())
            except BaseException as error:  # noqa: BLE001 - told of by end()
                written.set_exception(error)

        try:
            self._threads.run(run)
        except RuntimeError as error:  # no thread can be had: ``end`` tells of it, and the loop writes by itself
            written.set_exception(error)

    def end(self) -> T | None:
        """Wait until the write that was begun has ended and return what it wrote; None if it failed, or none was."""
        written, self._written = self._written, None
        if written is None:
            return None
        error = written.exception()
        if error is None:
            return written.result()
        self._rests_until = self._clock() + _REST_AFTER_FAILURE_SECONDS
        if not isinstance(error, Exception):
            raise error
        self._hooks.emit(StepFailed(self._loop_name, error, 0.0))
        return None

    def close(self) -> None:
        """Let the thread end, as soon as it can."""
        self._threads.close()

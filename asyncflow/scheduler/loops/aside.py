"""Work that an event loop has done aside, on threads that take it also when the main thread has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from asyncflow.forks import leave_at_fork
from asyncflow.scheduler.loops.threads import Threads, fulfil

T = TypeVar("T")


class _OfProcess:
    """Hold the threads of this process, used again by whoever comes next; they keep it from no end."""

    def __init__(self) -> None:
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin with threads of the child's own."""
        self.threads = Threads("asyncflow-aside")


_PROCESS = _OfProcess()


def aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """Begin ``work`` on a thread, within the caller's context variables; the running loop awaits what comes of it."""
    future: Future[T] = Future()
    _PROCESS.threads.run(partial(fulfil, future, partial(copy_context().run, work)))
    return asyncio.wrap_future(future)

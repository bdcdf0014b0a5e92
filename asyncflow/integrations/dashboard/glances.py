"""Looks at the database that are kept for a moment: many browsers cost it what one does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

from asyncflow.forks import leave_at_fork
from asyncflow.scheduler.loops.threads import DaemonExecutor

_MOST_KEPT = 256
_THREADS = 4  # each with a connection while it looks


class Glances:
    """Keep what was seen for some seconds, and let all who ask meanwhile have that; lives as long as its dashboard.

    A look runs on a worker thread, and those who ask for the same at that time wait for it. Any thread and any event
    loop may ask.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Forget the looks: those under way end in the parent."""
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, Future[Any]]] = OrderedDict()
        self._threads = DaemonExecutor("asyncflow-dashboard", _THREADS)

    async def see(self, what: Hashable, look: Callable[[], Any], seconds: float) -> Any:
        """Return what ``look`` returns or has returned within so many seconds; raises what it raises."""
        future, is_mine = self._future(what, seconds)
        if is_mine:
            self._threads.submit(_fill, future, look)
        return await asyncio.wrap_future(future)

    async def do(self, act: Callable[[], Any]) -> Any:
        """Return what ``act`` returns, which changes something: whoever looks afterwards looks anew."""
        try:
            return await asyncio.wrap_future(self._threads.submit(act))
        finally:
            self.forget()

    def forget(self) -> None:
        """Look anew at everything: something was changed."""
        with self._lock:
            self._kept.clear()

    def _future(self, what: Hashable, seconds: float) -> tuple[Future[Any], bool]:
        with self._lock:
            began, future = self._kept.get(what, (0.0, None))
            if future is not None and (not future.done() or self._clock() - began < seconds):
                return future, False
            made: Future[Any] = Future()
            made.set_running_or_notify_cancel()  # nobody who goes away can cancel it
            self._kept[what] = (self._clock(), made)
            self._kept.move_to_end(what)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return made, True


def _fill(future: Future[Any], look: Callable[[], Any]) -> None:
    try:
        future.set_result(look())
    except BaseException as error:  # noqa: BLE001 - whoever waits raises it
        future.set_exception(error)

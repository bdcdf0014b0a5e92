"""The database as an event loop reaches it: short transactions, on a bounded number of threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync
from sqlalchemy import Connection, Engine

from asyncflow.errors import ServiceBusyError
from asyncflow.scheduler.connections.again import run_again, run_once
from asyncflow.scheduler.connections.database import Database

T = TypeVar("T")
_LONGEST_IDLE_SECONDS = 30.0  # servers and proxies drop connections that are idle for long


@dataclass
class _KeptDatabase:
    """Hold a database for one request after the other, and when the last one was done."""

    database: Database
    used_at: float = field(default_factory=time.monotonic)
    is_at_work: bool = False  # on a thread, which goes on when the request is cancelled
    is_left: bool = False  # by the request: the thread closes it
    lock: threading.Lock = field(default_factory=threading.Lock)

    def do(self, work: Callable[[Database], T]) -> T:
        """Run ``work``, on a new connection if this one was idle for long: to close that may take a while."""
        if time.monotonic() - self.used_at > _LONGEST_IDLE_SECONDS:
            self.database.close()
        try:
            return work(self.database)
        finally:
            self.used_at = time.monotonic()
            with self.lock:
                self.is_at_work = False
            if self.is_left:
                self.database.close()

    def is_free(self) -> bool:
        """Tell whether another request may have it; if not, the thread that works with it closes it."""
        with self.lock:
            self.is_left = self.is_at_work
        return not self.is_left


class RequestDatabases:
    """Run transactions for requests; lives as long as the service, one event loop uses it.

    A request that finds all threads at work waits for one, but not for ever.
    """

    def __init__(self, engine: Engine, threads: int, busy_timeout_seconds: float) -> None:
        self._engine = engine
        self._busy_timeout = busy_timeout_seconds
        self._free = anyio.Semaphore(threads)
        self._limiter: anyio.CapacityLimiter | None = None
        self._threads = threads
        self._idle: deque[_KeptDatabase] = deque()

    async def run(self, work: Callable[[Connection], T], when_locked: Callable[[Connection], T] | None = None) -> T:
        """Run ``work`` in a transaction on another thread and commit; again if the connection is lost meanwhile.

        So it must do no harm twice. ``when_locked``, which waits for nobody, is run in its place after a lock was
        waited for. Raises ServiceBusyError if no thread was free in time, or what the database raises.
        """
        return await self._run(lambda database: run_again(database, work, _if_skipped(database, when_locked)))

    async def run_once(
        self,
        work: Callable[[Connection], T],
        trace: Callable[[Connection], T | None],
        when_locked: Callable[[Connection], T] | None = None,
    ) -> T:
        """Do as ``run``, but run again only what left no ``trace``: see ``scheduler.connections.again.run_once``."""
        return await self._run(lambda database: run_once(database, work, trace, _if_skipped(database, when_locked)))

    async def _run(self, work: Callable[[Database], T]) -> T:
        await self._acquire()
        # The one used last: the others grow old and are closed.
        kept = self._idle.pop() if self._idle else _KeptDatabase(Database(self._engine))
        kept.is_at_work = True
        try:
            return await run_sync(partial(kept.do, work), limiter=self._own_limiter())
        finally:
            if kept.is_free():
                self._idle.append(kept)
            self._free.release()

    async def call(self, work: Callable[[], T]) -> T:
        """Run ``work``, which makes transactions of its own, on another thread; raises as ``run`` does."""
        await self._acquire()
        try:
            return await run_sync(work, limiter=self._own_limiter())
        finally:
            self._free.release()

    def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            self._idle.pop().database.close()

    async def _acquire(self) -> None:
        try:
            with anyio.fail_after(self._busy_timeout):
                await self._free.acquire()
        except TimeoutError:
            raise ServiceBusyError(
                f"all {self._threads} threads of the service were at work for {self._busy_timeout:g} seconds; "
                f"try again, or run more replicas"
            ) from None

    def _own_limiter(self) -> anyio.CapacityLimiter:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._threads)
        return self._limiter


def _if_skipped(database: Database, when_locked: T | None) -> T | None:
    return when_locked if database.skips_locked else None

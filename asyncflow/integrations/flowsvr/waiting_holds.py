"""The waiting holds: told when there is something for them, by one look for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from asyncflow.scheduler.heads.queries import Head


@dataclass(eq=False)
class _Waiter:
    names: Collection[str]
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class WaitingHolds:
    """Let holds wait without a connection or a thread; one event loop uses it.

    While somebody waits, one task looks at the heads now and again, and wakes one waiter, the longest waiting first,
    for each lane where something is due. So a thousand waiting workers cost one small query a look.
    """

    def __init__(self, look: Callable[[Collection[str]], Awaitable[list[Head]]], interval_seconds: float) -> None:
        self._look = look
        self._interval = interval_seconds
        self._waiters: list[_Waiter] = []
        self._rung = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self.is_stopping = False

    async def wait(self, names: Collection[str], seconds: float) -> None:
        """Return when one of the types may have a due task, the time is up, or the service stops."""
        if self.is_stopping:
            return
        waiter = _Waiter(names)
        self._waiters.append(waiter)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_watch())
        try:
            with suppress(asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
                await asyncio.wait_for(waiter.woken.wait(), seconds)
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def ring(self) -> None:
        """Look at once: this process has just written a task."""
        self._rung.set()

    def stop(self) -> None:
        """Let all who wait return at once, and nobody wait any more."""
        self.is_stopping = True
        self._wake_all()
        self._rung.set()

    async def _keep_watch(self) -> None:
        while self._waiters:
            try:
                heads = await self._look({name for waiter in self._waiters for name in waiter.names})
            except Exception:  # noqa: BLE001 - each who waits asks the database itself, and tells its client
                self._wake_all()
                return
            self._wake_for(heads)
            await self._pause(heads)

    def _wake_for(self, heads: list[Head]) -> None:
        due = Counter(head.task_type for head in heads if head.due_in_seconds <= 0)
        for waiter in list(self._waiters):
            name = next((name for name in waiter.names if due[name] > 0), None)
            if name is not None:
                due[name] -= 1
                self._wake(waiter)

    async def _pause(self, heads: list[Head]) -> None:
        later = [head.due_in_seconds for head in heads if head.due_in_seconds > 0]
        with suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._rung.wait(), max(0.001, min([self._interval, *later])))
        self._rung.clear()

    def _wake_all(self) -> None:
        for waiter in list(self._waiters):
            self._wake(waiter)

    def _wake(self, waiter: _Waiter) -> None:
        self._waiters.remove(waiter)
        waiter.woken.set()


async def waits(request: Request, waiting: Coroutine[Any, Any, None]) -> bool:
    """Wait for as long as the client is there, whose body was read; return whether it still is."""
    gone, waited = asyncio.ensure_future(_until_gone(request)), asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({gone, waited}, return_when=asyncio.FIRST_COMPLETED)
        if waited.done():
            waited.result()
        return not gone.done()
    finally:
        gone.cancel()
        waited.cancel()
        await asyncio.gather(gone, waited, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

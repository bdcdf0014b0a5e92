"""Where handlers run: threads that are used again, and one event loop for the coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any

Work = Callable[[], None]


class Threads:
    """Run functions on as many threads as are at work at once; how many those are, the worker bounds.

    Daemon threads, for one that hangs for ever must not keep the process from its end.
    """

    def __init__(self, name: str = "asyncflow-handler") -> None:
        self._name = name
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0

    def run(self, work: Work) -> None:
        """Run ``work``, which must not raise, on an idle thread or a new one."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._count += 1
                threading.Thread(target=self._serve, name=f"{self._name}-{self._count}", daemon=True).start()
        self._queue.put(work)

    def close(self) -> None:
        """Let the threads end as they become idle."""
        for _ in range(self._count):
            self._queue.put(None)

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            with self._lock:
                self._idle += 1


class EventLoop:
    """Run coroutines on one event loop, on a thread of its own that starts with the first of them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``, which must not raise."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._serve, args=(self._loop,), name="asyncflow-coroutines", daemon=True).start()
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End the loop; what still runs there is left where it is."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.close()

"""Where handlers run: threads that are used again, and one event loop for the coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from asyncflow.forks import keep_for_ever, leave_at_fork
from asyncflow.leash import Leash
from asyncflow.outbox.transaction import engine_loops

T = TypeVar("T")
Work = Callable[[], None]

# A context variable, for what a thread or a coroutine of ours hands on, to another thread or task, still waits there.
_served: ContextVar[object] = ContextVar("asyncflow.served", default=None)


def serve(whom: object) -> None:
    """Let this thread, or this task of an event loop, serve ``whom`` from now on, and all that they hand on to."""
    _served.set(whom)


def serves(whom: object) -> bool:
    """Tell whether the running code serves ``whom``, whose end waits for it."""
    return _served.get() is whom


class Threads:
    """Run functions on as many threads as are at work at once, at most ``most``; without it the caller bounds them.

    Daemon threads, for one that hangs for ever must not keep the process from its end; and none of
    ``concurrent.futures``, whose pools take no work any more once the main thread has ended, whoever else goes on.
    They serve ``whom``, by default these threads themselves.
    """

    def __init__(self, name: str = "asyncflow-handler", most: int | None = None, whom: object = None) -> None:
        self._name = name
        self._most = most
        self._whom = whom or self
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._count = 0

    def run(self, work: Work) -> None:
        """Run ``work``, which must not raise, on an idle thread or a new one; later, where ``most`` are at work.

        Raises RuntimeError, and runs nothing, if the system gives no more threads.
        """
        with self._lock:
            if self._unfinished >= self._count and self._count != self._most:
                name = f"{self._name}-{self._count + 1}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
                self._count += 1
            self._unfinished += 1
        self._queue.put(work)

    def is_current(self) -> bool:
        """Tell whether the running code is what one of these threads runs."""
        return serves(self._whom)

    def close(self) -> None:
        """Let the threads end as they become idle; what is run afterwards has others."""
        with self._lock:
            count, self._count = self._count, 0
        for _ in range(count):
            self._queue.put(None)

    def _serve(self) -> None:
        serve(self._whom)
        while (work := self._queue.get()) is not None:
            with Leash():
                work()
            with self._lock:
                self._unfinished -= 1


class DaemonExecutor(ThreadPoolExecutor):
    """Be an executor on threads of our own, also of an event loop, which takes nothing but a ThreadPoolExecutor.

    It has ``most`` threads at most; None: as many as a loop's own has. They serve ``whom``.
    """

    def __init__(self, name: str, most: int | None = None, whom: object = None) -> None:
        super().__init__(most)
        self._own = Threads(name, self._max_workers, whom)

    def submit(self, function: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        """Run the function, and put what it returns or raises into the future."""
        future: Future[T] = Future()
        self._own.run(partial(fulfil, future, partial(function, *args, **options)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end as they become idle."""
        self._own.close()


def fulfil(future: Future[T], work: Callable[[], T]) -> None:
    """Put what ``work`` returns or raises into the future, if nobody has cancelled it before."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        with Leash():
            result = work()
    except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
        future.set_exception(error)
    else:
        future.set_result(result)


class EventLoop:
    """Run coroutines on one event loop, on a thread of its own that starts with the first of them.

    It goes on when a coroutine stops it: others run there, and more will.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends = threading.Event()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin another loop: what the old one waits on, its parent waits on as well."""
        loop, self._loop = self._loop, None
        if loop is not None:
            keep_for_ever(loop)
            self._ends.set()
            loop.stop()  # if it was on its thread that somebody forked

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``, which must not raise; raises RuntimeError, and runs nothing, if the system gives no thread."""
        try:
            if self._loop is None:
                self._loop = self._begin(asyncio.new_event_loop(), threading.Event())
            asyncio.run_coroutine_threadsafe(work, self._loop)
        except BaseException:
            work.close()
            raise

    def _begin(self, loop: asyncio.AbstractEventLoop, ends: threading.Event) -> asyncio.AbstractEventLoop:
        """Return the loop when it has a thread: one that has none would keep for ever what is given to it."""
        engine_loops.let_give_way(loop)
        loop.set_default_executor(DaemonExecutor("asyncflow-coroutines-thread", whom=self))
        work_here = partial(self._serve, loop, ends)
        try:
            threading.Thread(target=work_here, name="asyncflow-coroutines", daemon=True).start()
        except RuntimeError:
            loop.close()
            raise
        self._ends = ends
        return loop

    def close(self) -> None:
        """End the loop; what still runs there is left where it is."""
        loop, self._loop = self._loop, None
        if loop is not None:
            self._ends.set()
            loop.call_soon_threadsafe(loop.stop)

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop, ends: threading.Event) -> None:
        with Leash():
            while not ends.is_set():
                loop.run_forever()
        loop.close()

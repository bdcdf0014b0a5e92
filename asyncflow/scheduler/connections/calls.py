"""Calls of the application's database by code of its own: one of which nothing comes is ended, not waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

from asyncflow.errors import ConnectionSilentError
from asyncflow.leash import led_by
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.driver_sockets import cut_lines_of
from asyncflow.outbox.lines.limits import LIMITS, OF_USERS
from asyncflow.outbox.lines.line import WATCH

if TYPE_CHECKING:
    from typing_extensions import Self

_AGAIN_SECONDS = 2.0  # after a cut: a pool whose connection was dead opens another one, which may be as silent
_MOST_PATIENCE = 16  # times the limit
_PATIENT_FOR_SECONDS = 600.0


class Patience:
    """Know how long one call of user code may take: what was cut may be slow, and not silent, and is given longer.

    Its thread and the watch use it: what either misses of the other's is a limit that is doubled once less.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times = 1
        self._until = float("-inf")

    @property
    def seconds(self) -> float:
        """Return the limit of one call."""
        return OF_USERS.silence_seconds * self._times_now

    def note_cut(self) -> None:
        """Give the next one twice the time, for a while."""
        self._times = min(2 * self._times_now, _MOST_PATIENCE)
        self._until = self._clock() + _PATIENT_FOR_SECONDS

    @property
    def _times_now(self) -> int:
        return self._times if self._clock() < self._until else 1


class WatchedCalls(ABC):
    """Watch the calls that one piece of work makes of an engine; used as a context, by the thread or task that does it.

    A call that takes longer than our own statements may, or in a block of ``handed_out`` than ``patience`` says, is
    ended: what it waits for raises the driver's error, and the context ConnectionSilentError. A file is never silent.
    """

    def __init__(self, engine: Engine, patience: Patience | None = None) -> None:
        self.was_cut = False
        locks_rows = dialect_of(engine.dialect.name).locks_rows
        self._seconds = LIMITS.silence_seconds if locks_rows else float("inf")
        self._patience = patience or Patience()
        self._is_out = False  # user code is at work, which may take its time between its calls
        self._is_hasty = False

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count(float("inf"))
        if self.was_cut and isinstance(error, (Exception, asyncio.CancelledError)):
            raise ConnectionSilentError(
                "nothing came of a connection of the application's pool within the limit: the network says nothing, or "
                "somebody has locked what was asked for; it is tried again"
            ) from error

    def begin(self) -> None:
        """Know that a call begins, or goes on with something else."""
        has_time = self._is_out and not self._is_hasty
        self._count(max(self._seconds, self._patience.seconds) if has_time else self._seconds)

    def end(self) -> None:
        """Know that it was answered."""
        if self._is_out:
            self._count(float("inf"))
        else:
            self.begin()

    def hasten(self) -> None:
        """Give what is waited for no longer than any other statement; on the thread or the loop of the calls."""
        self._is_hasty = True
        self._shorten(self._seconds)

    @contextmanager
    def handed_out(self) -> Iterator[None]:
        """Let user code make the calls in the block."""
        self._is_out = True
        self.end()
        try:
            yield
        finally:
            self._is_out = False
            self.begin()

    def _note_cut(self) -> None:
        """Know that what was waited for has been ended."""
        self.was_cut = True
        if self._is_out and not self._is_hasty:
            self._patience.note_cut()

    @abstractmethod
    def _count(self, seconds: float) -> None:
        """Count so many seconds from now on."""

    @abstractmethod
    def _shorten(self, seconds: float) -> None:
        """Leave no more than so many seconds of those that are left."""


class ThreadCalls(WatchedCalls):
    """Watch the calls of a thread: what it waits for is found in its own frames, and shut down."""

    def __init__(self, engine: Engine, patience: Patience | None = None) -> None:
        super().__init__(engine, patience)
        self._thread = threading.current_thread()
        self._lock = threading.RLock()  # a signal's handler may hasten what its own thread counts
        self._ends_at = float("inf")

    def __enter__(self) -> Self:
        WATCH.add(self)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        WATCH.discard(self)
        super().__exit__(*raised)

    def cut_if_late(self, now: float) -> None:
        """Shut down what the thread waits for if its time is over; called by the watch."""
        if now < self._ends_at:
            return
        with self._lock:  # a call that is answered goes on when this is done
            if now >= self._ends_at:
                if cut_lines_of(self._thread):
                    self._note_cut()
                self._ends_at = now + _AGAIN_SECONDS

    def _count(self, seconds: float) -> None:
        with self._lock:
            self._ends_at = time.monotonic() + seconds

    def _shorten(self, seconds: float) -> None:
        with self._lock:
            if self._ends_at < float("inf"):
                self._ends_at = min(self._ends_at, time.monotonic() + seconds)


class TaskCalls(WatchedCalls):
    """Watch the calls of an asyncio task: it is cancelled while it waits for one, again until it waits no more."""

    def __init__(self, engine: Engine, patience: Patience | None = None) -> None:
        super().__init__(engine, patience)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled = 0

    def __exit__(self, *raised: Any) -> None:
        uncancel = getattr(self._task, "uncancel", lambda: 0)  # from Python 3.11 on
        for _ in range(self._cancelled):
            uncancel()
        super().__exit__(*raised)

    def _count(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds == float("inf") else self._loop.call_later(seconds, self._cut)

    def _shorten(self, seconds: float) -> None:
        if self._timer is not None and self._timer.when() > self._loop.time() + seconds:
            self._count(seconds)

    def _cut(self) -> None:
        if self._task is not None and (not self._is_out or awaits_database(self._task)):
            self._note_cut()
            self._cancelled += 1
            self._task.cancel()
        self._count(_AGAIN_SECONDS)


class WatchedSession(Session):
    """Be a Session like any other, whose calls are watched; a class of our own, for its listeners' sake."""

    def __init__(self, *given: Any, calls: WatchedCalls, **options: Any) -> None:
        super().__init__(*given, **options)
        self.calls = calls
        self._heard: Connection | None = None

    def get_bind(self, *given: Any, **options: Any) -> Engine | Connection:
        """Return what a Session would; the pool may be asked for a connection of it next."""
        self.calls.begin()
        return super().get_bind(*given, **options)

    def hear(self, connection: Connection) -> None:
        """Hear of the calls of a connection that the session begins to use, on its own engine or on another."""
        calls = self.calls
        calls.end()
        if connection is self._heard:
            return  # a savepoint on it
        self._heard = connection
        for moment in ("before_cursor_execute", "commit", "rollback"):
            event.listen(connection, moment, lambda *_: calls.begin())
        event.listen(connection, "after_cursor_execute", lambda *_: calls.end())


def awaits_database(task: asyncio.Task[Any]) -> bool:
    """Tell whether a task waits within SQLAlchemy, and not for something of its own."""
    from sqlalchemy.util import greenlet_spawn  # a task that is here has greenlet

    awaited: Any = task.get_coro()
    while awaited is not None:
        if getattr(awaited, "cr_code", None) is greenlet_spawn.__code__:
            return True
        awaited = led_by(awaited) or getattr(awaited, "cr_await", None)
    return False


event.listen(WatchedSession, "after_begin", lambda session, _, connection: session.hear(connection))
for _moment in ("after_commit", "after_rollback"):
    event.listen(WatchedSession, _moment, lambda session: session.calls.end())

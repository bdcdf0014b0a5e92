"""A worker that is a process of its own: its tasks come from elsewhere, and it has no scheduler."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from asyncflow.errors import ForkedError, SchedulerStoppedError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, WorkerStarted, WorkerStopped
from asyncflow.forks import leave_at_fork
from asyncflow.scheduler.cluster.ownership import instance_name
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.startable import Startable
from asyncflow.scheduler.worker.worker import Worker
from asyncflow.scheduler.worker.worker_settings import WorkerSettings

_WATCH_SECONDS = 1.0
_PART_OF_STOP = 0.2  # of the time to stop: for what is on its way here


class AskedSource(Protocol):
    """Be where claims come from, as far as it is asked for more."""

    def ask_for(self, types: Collection[str]) -> None:
        """Ask for tasks of these types from now on."""
        ...

    def stop_asking(self) -> None:
        """Ask for no more, and give back what nobody has begun with."""
        ...


class Parts(NamedTuple):
    """Hold what one process has of a worker; ``taker`` fetches for a source that has no threads of its own."""

    source: AskedSource
    worker: Worker
    handlers: Loop
    taker: Loop | None = None

    @property
    def loops(self) -> list[Loop]:
        """Return the loops in the order in which they start."""
        return [loop for loop in (self.taker, self.handlers) if loop is not None]


class LoneWorker(Startable):
    """Have handlers do tasks that come from elsewhere; from ``start`` to ``stop``, not again.

    ``place`` tells people where they come from. Any thread may start or stop it. In the child of a fork it is a worker
    of its own; one that the parent has started is the parent's alone.
    """

    def __init__(self, settings: WorkerSettings, name: str | None, place: str, hooks: Iterable[Hook]) -> None:
        self._worker_settings = settings
        self._given_name = name
        self._place = place
        self.hooks = LoggedHooks(hooks)
        super().__init__()
        self._make()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Be a worker of its own in the child of a fork, or nothing, if the parent has started it."""
        self._is_copy = True
        self._make()

    def _make(self) -> None:
        self.name = self._given_name or instance_name()
        self._parts = self._parts_of_process()
        self._watchdog = Loop("watchdog", self._watch, self.hooks)
        self._begin_life()

    @abstractmethod
    def _parts_of_process(self) -> Parts:
        """Make what belongs to one process: its lines to where tasks come from, threads and locks."""

    @abstractmethod
    def _types_to_do(self) -> tuple[str, ...]:
        """Return the types that it does; raise what keeps it from them."""

    def _disconnect(self) -> None:
        """End the lines to where tasks come from, which no thread uses any more."""

    def start(self) -> None:
        """Check what it needs, and begin; a second call does nothing. Who is away is no reason not to begin.

        Raises OptionError, SchedulerStoppedError, or ForkedError if the parent of this process started it.
        """
        if self._is_parents():
            raise ForkedError(
                f"this worker was started by process {self._used_by}, of which process {os.getpid()} is a fork; "
                f"make a worker in the child, or start none before the fork"
            )
        with self._lifecycle:
            if self._is_ending:
                raise SchedulerStoppedError("this worker was stopped; make a new one")
            if self._started:
                return
            self._used_by = os.getpid()
            types = self._types_to_do()
            self._parts.source.ask_for(types)
            self._started = True
            for loop in (*self._parts.loops, self._watchdog):
                loop.start()
        self.hooks.emit(WorkerStarted(self.name, self._place, types))

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Ask for no more, finish or give back the work in hand; return whether all ended in time.

        A second call returns what the first did. One in the child of a fork does nothing. In a handler, or a hook on
        its threads, it only begins to stop, and returns False. Default: ``stop_timeout_seconds``.
        """
        if self._is_parents():
            return True
        if self.is_working_here():
            return self._end_aside(timeout_seconds)
        with self._lifecycle:
            if self._is_ending:
                return self._is_clean
            self._is_ending = True
            default = self._worker_settings.stop_timeout_seconds
            self._is_clean = self._end(default if timeout_seconds is None else timeout_seconds)
        if self._started:
            self.hooks.emit(WorkerStopped(self.name, self._is_clean))
        return self._is_clean

    def _end(self, seconds: float) -> bool:
        source, _, handlers, taker = self._parts
        source.stop_asking()  # first: who ends the handlers' loop may close its lines
        handlers.ask_to_stop()
        self._watchdog.stop(_WATCH_SECONDS)
        has_all = taker is None or taker.stop(seconds * _PART_OF_STOP)
        clean = handlers.stop(seconds) and has_all
        if clean:  # no thread uses it any more
            self._parts.handlers.close()
            self._disconnect()
        self._ended.set()
        return clean

    def is_working_here(self) -> bool:
        """Tell whether the caller is on the thread of a loop, or is a handler at work."""
        is_loop = any(loop.is_current() for loop in (*self._parts.loops, self._watchdog))
        return is_loop or self._parts.worker.is_working_here()

    def _watch(self) -> float:
        for loop in self._parts.loops:
            loop.revive()
        return _WATCH_SECONDS

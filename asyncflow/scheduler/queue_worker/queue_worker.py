"""A worker of a queue: the process that does its tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from asyncflow.errors import ForkedError, OptionError, SchedulerStoppedError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, WorkerStarted, WorkerStopped
from asyncflow.forks import leave_at_fork
from asyncflow.outbox import Outbox
from asyncflow.scheduler.cluster.ownership import instance_name
from asyncflow.scheduler.loops.latch import Latch
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.startable import Startable
from asyncflow.scheduler.queue_worker.queue_claims import LOOP, QueueClaims
from asyncflow.scheduler.queue_worker.settings import QueueWorkerSettings
from asyncflow.scheduler.queue_worker.way_back import WayBack
from asyncflow.scheduler.queues.types_by_queue import TypesByQueue
from asyncflow.scheduler.task_queue import TaskQueue
from asyncflow.scheduler.worker.handler_call import Tools
from asyncflow.scheduler.worker.worker import Worker
from asyncflow.text import shown

_WATCH_SECONDS = 1.0
_PART_OF_STOP = 0.2  # of the time to stop: for what is on its way from the broker


class QueueWorker(Startable):
    """Do the tasks that come by a queue, by the handlers of an outbox; from ``start`` to ``stop``, not again.

    It does those of the types that are declared with ``queue=queue_name`` and have a handler here. It needs no
    database: ``queue`` leads to the broker, and what becomes of a task goes back by it to whichever scheduler has the
    queue. ``options`` are the fields of QueueWorkerSettings. In the child of a fork it is a worker of its own; one
    that the parent has started is the parent's alone.

    Raises OptionError or UnknownOptionError.
    """

    def __init__(
        self, outbox: Outbox, queue_name: str, queue: TaskQueue, *, hooks: Iterable[Hook] = (), **options: Any
    ) -> None:
        if not isinstance(outbox, Outbox):
            raise OptionError(f"outbox is {shown(outbox)}; give the Outbox that declares the handlers")
        if isinstance(queue, type) or not isinstance(queue, TaskQueue):
            raise OptionError(f"queue is {shown(queue)}; give one such as RedisQueue(url)")
        self.settings = QueueWorkerSettings.of(**options)
        self._outbox = outbox
        self._queue_name = queue_name
        self._queue = queue
        self.hooks = LoggedHooks(hooks)
        super().__init__()
        self._make()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Be a worker of its own in the child of a fork, or nothing, if the parent has started it."""
        self._is_copy = True
        self._make()

    def _make(self) -> None:
        """Make what belongs to one process: the worker's name, its lines to the broker, threads and locks."""
        settings, hooks = self.settings, self.hooks
        self.name = settings.name or instance_name()
        latch, takers = Latch("handlers", hooks), Latch(LOOP, hooks)
        way_back = WayBack(self._queue.telling(self._queue_name), settings.claim_lease_seconds)
        taking = self._queue.taking(self._queue_name)
        wakes = (latch.wake, takers.wake)
        self._source = QueueClaims(taking, way_back, settings.claim_lease_seconds, hooks, wakes)
        outbox = self._outbox
        tools = Tools(self._source, None, outbox.max_message_bytes, encryption=outbox.encryption)
        types = TypesByQueue(outbox.handler_types, self._queue_name)
        worker = Worker(types, tools, settings, hooks, latch.wake)
        self._loop = Loop("handlers", worker.step, hooks, worker.close, latch)
        self._taker = Loop(LOOP, self._source.fetch, hooks, latch=takers)
        self._watchdog = Loop("watchdog", self._watch, hooks)
        self._begin_life()

    def start(self) -> None:
        """Check the handlers, and begin; a second call does nothing. A broker that is away is no reason not to begin.

        Raises OptionError, SchedulerStoppedError, or ForkedError if the parent of this process started it.
        """
        if self._is_parents():
            raise ForkedError(
                f"this worker was started by process {self._used_by}, of which process {os.getpid()} is a fork; "
                f"make a worker in the child, or start none before the fork"
            )
        with self._lifecycle:
            if self._ended.is_set():
                raise SchedulerStoppedError("this worker was stopped; make a new one")
            if self._started:
                return
            self._used_by = os.getpid()
            types = self._handled()
            self._source.ask_for(types)
            self._started = True
            for loop in (self._taker, self._loop, self._watchdog):
                loop.start()
        self.hooks.emit(WorkerStarted(self.name, f"the queue {self._queue_name}", types))

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Take no more, finish or give back the work in hand; return whether all ended in time.

        A second call does nothing, nor does one in the child of a fork. Default: ``stop_timeout_seconds``.
        """
        if self._is_parents():
            return True
        with self._lifecycle:
            if self._ended.is_set():
                return True
            seconds = self.settings.stop_timeout_seconds if timeout_seconds is None else timeout_seconds
            self._watchdog.stop(_WATCH_SECONDS)
            self._loop.ask_to_stop()
            self._source.stop_asking()
            has_all = self._taker.stop(seconds * _PART_OF_STOP)
            clean = self._loop.stop(seconds) and has_all
            if clean:
                self._loop.close()
                self._source.disconnect()
            self._ended.set()
        if self._started:
            self.hooks.emit(WorkerStopped(self.name, clean))
        return clean

    def _handled(self) -> tuple[str, ...]:
        types = TypesByQueue(self._outbox.handler_types, self._queue_name)
        handled = tuple(name for name, kind in types.items() if kind.handler is not None)
        if not handled:
            raise OptionError(
                f"the outbox has no handlers for the queue {self._queue_name!r}; decorate functions with "
                f"@outbox.task(queue={self._queue_name!r}) and import them"
            )
        return handled

    def _watch(self) -> float:
        for loop in (self._taker, self._loop):
            loop.revive()
        return _WATCH_SECONDS

"""A worker of a queue: the process that does its tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.events import Hook
from asyncflow.outbox import Outbox
from asyncflow.scheduler.loops.latch import Latch
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.queue_worker.queue_claims import LOOP, QueueClaims
from asyncflow.scheduler.queue_worker.settings import QueueWorkerSettings
from asyncflow.scheduler.queue_worker.way_back import WayBack
from asyncflow.scheduler.queues.types_by_queue import TypesByQueue
from asyncflow.scheduler.task_queue import TaskQueue
from asyncflow.scheduler.worker.handler_call import Tools
from asyncflow.scheduler.worker.lone_worker import LoneWorker, Parts
from asyncflow.scheduler.worker.worker import Worker
from asyncflow.text import shown


class QueueWorker(LoneWorker):
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
        super().__init__(self.settings, self.settings.name, f"the queue {queue_name}", hooks)

    def _parts_of_process(self) -> Parts:
        settings, hooks, outbox = self.settings, self.hooks, self._outbox
        latch, takers = Latch("handlers", hooks), Latch(LOOP, hooks)
        way_back = WayBack(self._queue.telling(self._queue_name), settings.claim_lease_seconds)
        taking = self._queue.taking(self._queue_name)
        wakes = (latch.wake, takers.wake)
        self._source = source = QueueClaims(taking, way_back, settings.claim_lease_seconds, hooks, wakes)
        tools = Tools(source, None, outbox.max_message_bytes, encryption=outbox.encryption)
        types = TypesByQueue(outbox.handler_types, self._queue_name)
        worker = Worker(types, tools, settings, hooks, latch.wake)
        handlers = Loop("handlers", worker.step, hooks, worker.close, latch)
        return Parts(source, worker, handlers, Loop(LOOP, source.fetch, hooks, latch=takers))

    def _disconnect(self) -> None:
        self._source.disconnect()

    def _types_to_do(self) -> tuple[str, ...]:
        types = TypesByQueue(self._outbox.handler_types, self._queue_name)
        handled = tuple(name for name, kind in types.items() if kind.handler is not None)
        if not handled:
            raise OptionError(
                f"the outbox has no handlers for the queue {self._queue_name!r}; decorate functions with "
                f"@outbox.task(queue={self._queue_name!r}) and import them"
            )
        return handled

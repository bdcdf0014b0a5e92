"""The post of one queue in a scheduler: its dispatcher and its collector, each with a loop of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.loops.latch import Latch
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.queues.collector import Books, Collector
from asyncflow.scheduler.queues.credits import Credits
from asyncflow.scheduler.queues.dispatcher import Dispatcher
from asyncflow.scheduler.queues.queued_claims import QueuedClaims
from asyncflow.scheduler.queues.types_by_queue import TypesByQueue
from asyncflow.scheduler.scope import Scope
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims


class PostPlace(NamedTuple):
    """Tell where a post is: in which instance, over which of its shards, woken by what.

    ``on_due_again`` is called when tasks are due again that were in the queue.
    """

    instance: Instance
    scope: Scope
    latch: Latch
    on_due_again: Callable[[], None]


class QueuePost:
    """Hold who sends and who collects for a queue; lives as long as its scheduler, in one process."""

    def __init__(self, queue: str, place: PostPlace) -> None:
        instance, scope = place.instance, place.scope
        its_queue, settings = instance.queues[queue], instance.settings
        self._place = place
        self._types = scope.types.handlers
        types = TypesByQueue(self._types, queue)
        credits_ = Credits(its_queue.credits)
        source = QueuedClaims(instance, scope, types, queue, place.latch.wake)
        self.dispatcher = Dispatcher(types, source, its_queue.sending(queue), credits_, settings)
        claims = ServiceClaims(instance.outbox, instance.engine, deletes=settings.on_success == "delete")
        books = Books(instance.database(), claims, credits_, self._type_of, instance.hooks, self._on_settled)
        collecting = its_queue.collecting(queue, scope.ownership.owner)
        self.collector = Collector(queue, collecting, books)
        self.loops = (
            Loop(f"dispatcher-{queue}", self.dispatcher.step, instance.hooks, self.dispatcher.close, place.latch),
            Loop(f"collector-{queue}", self.collector.step, instance.hooks, self.collector.close),
        )

    def expect_work(self) -> None:
        """Look at once for tasks to hand over."""
        self.dispatcher.expect_work()
        self._place.latch.wake()

    def _type_of(self, name: str) -> HandlerType:
        """Return a type as it is in force; one that is declared here no more has the defaults."""
        return self._types[name] if name in self._types else HandlerType(name=name)

    def _on_settled(self, is_due: bool) -> None:
        if is_due:
            self._place.on_due_again()
        self._place.latch.wake()

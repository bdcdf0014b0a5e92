"""A worker of a task service: the process that does its tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from asyncflow.errors import ForkedError, OptionError, SchedulerStoppedError, ServiceAwayError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, WorkerStarted, WorkerStopped
from asyncflow.forks import leave_at_fork
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient
from asyncflow.integrations.flowsvr.client.http_claims import HttpClaims
from asyncflow.integrations.flowsvr.client.joint_claims import JointClaims, NoTable
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.cluster.ownership import instance_name
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.loops.latch import Latch
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.startable import Startable
from asyncflow.scheduler.start_check import require_home
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.table.table_check import require_tables
from asyncflow.scheduler.worker.claiming.claims import Claims
from asyncflow.scheduler.worker.handler_call import Tools, no_engine
from asyncflow.scheduler.worker.worker import Worker

_WATCH_SECONDS = 1.0


class ServiceWorker(Startable):
    """Do the tasks of a task service by the handlers of an outbox; from ``start`` to ``stop``, not again.

    ``target`` is the Outbox with the handlers. Transactional handlers need a database in which the service's task table
    is: then it is a Scheduler, whose engine they work on; the scheduler itself is not started. ``options`` are the
    fields of ClientSettings.

    Raises OptionError or UnknownOptionError.
    """

    def __init__(
        self,
        target: Outbox | Scheduler,
        server: str,
        *,
        hooks: Iterable[Hook] = (),
        transport: Any = None,
        **options: Any,
    ) -> None:
        if not isinstance(target, (Outbox, Scheduler)):
            raise OptionError(f"target is {target!r:.60}; give an Outbox, or a Scheduler for transactional handlers")
        self._engine = target.engine if isinstance(target, Scheduler) else None
        self._outbox = target.outbox if isinstance(target, Scheduler) else target
        self._target = target
        self._server = server
        self._transport = transport
        # Here nothing waits for one request: what the service does not take is kept and sent again with the rest.
        self._options = {"retry_for_seconds": 0.0, **options}
        self.hooks = LoggedHooks(hooks)
        super().__init__()
        self._make()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Be a worker of its own in the child of a fork, or nothing, if the parent has started it."""
        self._is_copy = True
        self._make()

    def _make(self) -> None:
        """Make what belongs to one process: the worker's name, its connections, threads and locks."""
        self._client = TaskServiceClient(self._server, transport=self._transport, **self._options)
        self.name = self._client.settings.name or instance_name()
        latch = Latch("handlers", self.hooks)
        self._source = HttpClaims(self._client, self.name, self._claims_in(self._target), self.hooks, latch.wake)
        tools = Tools(self._source, self._engine, self._outbox.max_message_bytes)
        worker = Worker(self._outbox.handler_types, tools, self._client.settings, self.hooks, latch.wake)
        self._loop = Loop("handlers", worker.step, self.hooks, worker.close, latch)
        self._watchdog = Loop("watchdog", self._watch, self.hooks)
        self._begin_life()

    def start(self) -> None:
        """Check the handlers and the token, and begin; a second call does nothing.

        A service that is away is no reason not to begin. Raises OptionError, TablesMissingError,
        ServiceRefusedError, SchedulerStoppedError, or ForkedError if the parent of this process started it.
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
            self._require_reach(types)
            self._source.ask_for(types)
            self._started = True
            self._loop.start()
            self._watchdog.start()
        self.hooks.emit(WorkerStarted(self.name, self._client.settings.shown_server, types))

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Ask for no more, finish or give back the work in hand; return whether all ended in time.

        A second call does nothing, nor does one in the child of a fork. Default: ``stop_timeout_seconds``.
        """
        if self._is_parents():
            return True
        with self._lifecycle:
            if self._ended.is_set():
                return True
            self._source.stop_asking()
            self._watchdog.stop(_WATCH_SECONDS)
            default = self._client.settings.stop_timeout_seconds
            clean = self._loop.stop(default if timeout_seconds is None else timeout_seconds)
            if clean:
                self._loop.close()
            self._ended.set()
        if self._started:
            self.hooks.emit(WorkerStopped(self.name, clean))
        return clean

    def _claims_in(self, target: Outbox | Scheduler) -> JointClaims:
        if not isinstance(target, Scheduler):
            return NoTable()
        lease, deletes = self._client.settings.claim_lease_seconds, target.settings.on_success == "delete"
        return Claims(target.outbox, target.engine, ClaimOwner.elsewhere(self.name), lease, deletes=deletes)

    def _handled(self) -> tuple[str, ...]:
        types = tuple(name for name, kind in self._outbox.handler_types.items() if kind.handler is not None)
        if not types:
            raise OptionError("the outbox has no handlers; decorate functions with @outbox.task() and import them")
        return types

    def _require_reach(self, types: Iterable[str]) -> None:
        """Refuse to begin what could not be done: a transactional handler without a table, a token that is unknown."""
        require_home(self._outbox, None)
        transactional = [name for name in types if self._outbox.handler_types[name].transactional]
        if transactional and self._engine is None:
            raise no_engine(transactional[0])
        if transactional and self._engine is not None:
            require_engine(self._engine, self._outbox)  # first: a look at a pool that others share ends their work
            require_tables(self._engine, self._outbox)
        with suppress(ServiceAwayError):  # it is asked again, and told of, as the worker asks for tasks
            self._client.renew([(uuid4(), uuid4())])  # changes nothing, and needs the worker's role

    def _watch(self) -> float:
        self._loop.revive()
        return _WATCH_SECONDS

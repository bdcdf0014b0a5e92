"""A worker of a task service: the process that does its tasks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from asyncflow.errors import OptionError, ServiceAwayError
from asyncflow.events import Hook
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient
from asyncflow.integrations.flowsvr.client.http_claims import HttpClaims
from asyncflow.integrations.flowsvr.client.joint_claims import JointClaims, NoTable
from asyncflow.integrations.flowsvr.client.settings import ClientSettings
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.loops.latch import Latch
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.start_check import require_home
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.table.table_check import require_tables
from asyncflow.scheduler.worker.claiming.claims import Claims
from asyncflow.scheduler.worker.handler_call import Tools, no_engine
from asyncflow.scheduler.worker.lone_worker import LoneWorker, Parts
from asyncflow.scheduler.worker.worker import Worker


class ServiceWorker(LoneWorker):
    """Do the tasks of a task service by the handlers of an outbox; from ``start`` to ``stop``, not again.

    ``target`` is the Outbox with the handlers. Transactional handlers need a database in which the service's task table
    is: then it is a Scheduler, whose engine they work on; the scheduler itself is not started. ``options`` are the
    fields of ClientSettings.

    Raises OptionError or UnknownOptionError; ``start`` also TablesMissingError, and ServiceRefusedError for a token
    that the service does not know.
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
        settings = ClientSettings.of(server=server, **self._options)
        super().__init__(settings, settings.name, settings.shown_server, hooks)

    def _parts_of_process(self) -> Parts:
        self._client = client = TaskServiceClient(self._server, transport=self._transport, **self._options)
        latch = Latch("handlers", self.hooks)
        source = HttpClaims(client, self.name, self._claims_in(self._target, client.settings), self.hooks, latch.wake)
        tools = Tools(source, self._engine, self._outbox.max_message_bytes)
        worker = Worker(self._outbox.handler_types, tools, client.settings, self.hooks, latch.wake)
        return Parts(source, worker, Loop("handlers", worker.step, self.hooks, worker.close, latch))

    def _claims_in(self, target: Outbox | Scheduler, settings: ClientSettings) -> JointClaims:
        if not isinstance(target, Scheduler):
            return NoTable()
        lease, deletes = settings.claim_lease_seconds, target.settings.on_success == "delete"
        return Claims(target.outbox, target.engine, ClaimOwner.elsewhere(self.name), lease, deletes=deletes)

    def _types_to_do(self) -> tuple[str, ...]:
        types = tuple(name for name, kind in self._outbox.handler_types.items() if kind.handler is not None)
        if not types:
            raise OptionError("the outbox has no handlers; decorate functions with @outbox.task() and import them")
        self._require_reach(types)
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

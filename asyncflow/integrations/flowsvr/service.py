"""The service behind the routes: what it holds while it runs, and the transactions that they ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from anyio.to_thread import run_sync
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import DBAPIError

from asyncflow.errors import ForkedError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import Hook, Hooks, RowsLocked, StepFailed
from asyncflow.integrations.flowsvr.catalogue import Catalogue
from asyncflow.integrations.flowsvr.creation import Creation
from asyncflow.integrations.flowsvr.databases import RequestDatabases
from asyncflow.integrations.flowsvr.door.tokens import Token, Tokens
from asyncflow.integrations.flowsvr.handover import Handover, Opening
from asyncflow.integrations.flowsvr.served_database import ServedDatabase
from asyncflow.integrations.flowsvr.settings import DESTINATION, ServiceSettings
from asyncflow.integrations.flowsvr.waiting_holds import WaitingHolds
from asyncflow.outbox import Call, Outbox
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.look_up.settled_rows import SettledRows
from asyncflow.outbox.status import Status
from asyncflow.scheduler.charts.chart_writer import ChartWriter
from asyncflow.scheduler.charts.minute_counts import MinuteCounts
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.operator.by_hand.option_changes import OptionChanges
from asyncflow.scheduler.operator.dead_letters import DeadLetters
from asyncflow.scheduler.operator.task_view import TaskView
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome, SettledClaim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim, RenewedClaims
from asyncflow.scheduler.worker.claiming.refused_outcomes import RefusedOutcomes, refused_claims
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from asyncflow.scheduler.worker.claiming.told_outcomes import tell_outcomes
from asyncflow.scheduler.worker.rescuing.monitor import Monitor, Wards
from asyncflow.scheduler.worker.rescuing.rescue import Untimely

T = TypeVar("T")
LEASE_REST = 5.0  # seconds that a claim by the original names outlives max_processing_time, for the answer to arrive


class TaskService:
    """Serve one database; lives from the start to the end of its process, and keeps nothing that another one lacks.

    But for copies of tasks that nobody can change any more, where ``cache_bytes`` allows them.

    ``hooks`` receive the events of settled tasks and of the monitor; given as Hooks, they have a log of their own.
    """

    def __init__(
        self, engine: Engine, outbox: Outbox, tokens: Tokens, settings: ServiceSettings, hooks: Iterable[Hook] = ()
    ) -> None:
        self.outbox = outbox
        self.tokens = tokens
        self.settings = settings
        deletes = settings.on_success == "delete"
        counts = MinuteCounts()
        self.hooks = (Hooks if isinstance(hooks, Hooks) else LoggedHooks)([counts, *Hooks(hooks)])
        self._chart_writer = ChartWriter(outbox, Database(engine), counts, self.hooks)
        self.view = TaskView(outbox)
        self._settled = SettledRows(settings.cache_bytes, settings.cache_seconds)
        self.claims = ServiceClaims(
            outbox,
            engine,
            deletes=deletes,
            most_bytes=settings.max_answer_bytes,
            on_locked=self._tell_of_locks,
        )
        self.databases = RequestDatabases(engine, settings.threads, settings.busy_timeout_seconds)
        self._refused = RefusedOutcomes(dialect_of(engine.dialect.name), refused_claims(self._tell_of_refusal))
        self.waiting_holds = WaitingHolds(
            lambda names: self.databases.run(partial(self.claims.heads, names=names)), settings.look_interval_seconds
        )
        self._creation = Creation(outbox, self.databases, self.view, self.waiting_holds.ring, deletes=deletes)
        self.handover = Handover(self.databases, self.claims, self.hooks, self.waiting_holds.ring)
        self.configurations = Configurations(engine, outbox)
        self.option_changes = OptionChanges(engine, outbox)
        self.dead_letters = DeadLetters(engine, outbox, hooks=[self.hooks.emit])
        configured, refresh_seconds = self.configurations, settings.type_refresh_seconds
        self.catalogue = Catalogue(configured.handler_types, configured.handler_type, refresh_seconds)
        self._opening = Opening(outbox.encryption, self.databases, self.claims, self.catalogue.type_of, self.hooks)
        self.database = ServedDatabase(engine, outbox, lambda connection: self.claims.heads(connection, ()))
        self._started_by: int | None = None
        self._monitor = self._monitor_of(engine)
        self._monitor_loop = Loop("monitor", self._step, self.hooks, self._close)

    def _monitor_of(self, engine: Engine) -> Monitor:
        every_shard = range(self.outbox.shard_count)
        wards = Wards(
            shards=lambda: every_shard,
            types=self.catalogue,
            interval_seconds=self.settings.monitor_interval_seconds,
            untimely=Untimely(self.outbox.tasks, self._longest_lease),
        )
        return Monitor(self.outbox, engine, wards, self.hooks)

    def start(self) -> None:
        """Start the monitor; raises ForkedError if the parent of this process has started it."""
        if self._started_by not in (None, os.getpid()):
            raise ForkedError(
                f"this task service was started by process {self._started_by}, of which process {os.getpid()} is a "
                f"fork; make the application in the child, or start it after the fork"
            )
        self._started_by = os.getpid()
        self._monitor_loop.start()

    async def stop(self) -> None:
        """Let waiting holds return, end the monitor, give the connections back."""
        self.waiting_holds.stop()
        try:
            await self.handover.end(self.settings.stop_timeout_seconds)
        finally:  # though it is cancelled, as by a server that waits no longer
            try:
                await run_sync(self._monitor_loop.stop, self.settings.stop_timeout_seconds)
            finally:
                self.databases.close()

    async def call(self, work: Callable[[], T]) -> T:
        """Run what makes transactions of its own on another thread; raises as ``RequestDatabases.run`` does."""
        return await self.databases.call(work)

    # -- looking -----------------------------------------------------------------------------------------

    async def look_up(self, task_id: UUID) -> tuple[Row[Any] | None, float | None]:
        """Return one task whole, None if there is none; and how many seconds ago a kept one was read."""
        if kept := self._settled.find(task_id):
            return kept.row, self._settled.clock() - kept.asked_at
        asked_at = self._settled.clock()
        row = await self.databases.run(partial(self.view.one, task_id=task_id))
        if row is not None:
            self._settled.keep(row, asked_at)
        return row, None

    # -- creating ----------------------------------------------------------------------------------------

    async def create(self, name: str, call: Call, caller: Token) -> Enqueued:
        """Enqueue one task; tell whether the caller has used its idempotency key before.

        Raises a RefusedError, Problem 409 for a key that was used for another task, or OutcomeUnknownError without one.
        """
        (enqueued,) = await self._creation.create(await self.require(name, caller), [call], caller)
        return enqueued

    async def create_many(self, name: str, calls: Sequence[Call], caller: Token) -> list[UUID]:
        """Enqueue tasks of one type, all or none; return their ids in order.

        Raises as ``create`` does; OutcomeUnknownError unless each has an idempotency key.
        """
        made = await self._creation.create(await self.require(name, caller), calls, caller, bulk=True)
        return [one.id for one in made]

    async def require(self, name: str, caller: Token) -> HandlerType:
        """Return the type, looking anew if it is unknown: another replica may have registered it just now.

        Raises UnknownTaskTypeError, or ShardCountMismatchError: no scheduler would find what is written.
        """
        if not self.database.is_recorded:
            await self.call(self.database.record)
        if self.catalogue.is_stale:
            await self.call(self.catalogue.refresh_if_stale)
        if name not in self.catalogue:
            await self.call(partial(self.catalogue.look_for, name))
        return self.catalogue.require(name, caller.may_use)

    # -- working -----------------------------------------------------------------------------------------

    async def sort_out(self, names: Collection[str]) -> list[str]:
        """Return those names that are no known types; looks anew if the last look was long ago."""
        if self.catalogue.is_stale:
            await self.call(self.catalogue.refresh_if_stale)
        return self.catalogue.unknown(names)

    async def hold(self, worker: str, limits: Mapping[str, int], lease_seconds: float) -> list[Claim]:
        """Claim due tasks of each type up to its limit; whoever cannot pass them on gives them back."""
        claims = await self.handover.claim(worker, limits, lease_seconds)
        try:
            return await self._opening.opened(claims)
        except BaseException:
            self.handover.give_back(claims)
            raise

    async def are_own(self, ids: Collection[UUID], caller: Token) -> set[UUID]:
        """Return those of the ids whose tasks are no other's: gone, or of types that the caller may use."""
        if not caller.is_bound:
            return set(ids)
        rows = await self.databases.run(partial(self.view.states, ids=list(ids)))
        return {one for one in ids if one not in rows or caller.may_use(rows[one].task_type)}

    async def renew(self, held: Collection[HeldClaim], lease_seconds: float) -> RenewedClaims:
        """Let claims last for another lease; tell which do not."""
        renew = partial(self.claims.renew, held=held, lease_seconds=lease_seconds)
        return await self.databases.run(renew, partial(renew, of_free=True))

    async def settle(
        self, outcomes: Sequence[ClaimOutcome], caller: Token
    ) -> tuple[list[SettledClaim], dict[UUID, Row[Any]]]:
        """Write a caller's outcomes in one transaction; return them, and the rows of those that were not written.

        Those that somebody else has locked are left out, and are to be given again. Where the database refuses some,
        again and again, each is written by itself: one that is refused becomes a dead letter, and holds up no other.
        """
        try:
            return await self._settle_together(outcomes, caller)
        except DBAPIError as error:
            if not self._refused.is_again(error):
                raise
        settled, states = list[SettledClaim](), dict[UUID, Row[Any]]()
        for outcome in outcomes:
            its_settled, its_states = await self._settle_alone(outcome, caller)
            settled += its_settled
            states |= its_states
        return settled, states

    async def _settle_alone(
        self, outcome: ClaimOutcome, caller: Token
    ) -> tuple[list[SettledClaim], dict[UUID, Row[Any]]]:
        try:
            return await self._settle_together([outcome], caller)
        except DBAPIError as error:
            instead = self._refused.instead(outcome, error)
        try:
            return await self._settle_together([instead], caller)
        except DBAPIError as error:
            return [self._refused.lost(outcome, error)], {}

    async def _settle_together(
        self, outcomes: Sequence[ClaimOutcome], caller: Token
    ) -> tuple[list[SettledClaim], dict[UUID, Row[Any]]]:
        tried: list[tuple[list[SettledClaim], dict[UUID, Row[Any]]]] = []

        def settle(connection: Connection, **how: bool) -> tuple[list[SettledClaim], dict[UUID, Row[Any]]]:
            tried.append(self._settle(connection, outcomes, caller, **how))
            return tried[-1]

        def trace(connection: Connection) -> tuple[list[SettledClaim], dict[UUID, Row[Any]]] | None:
            return next((one for one in tried if self.claims.are_written(connection, one[0])), None)

        settled, states = await self.databases.run_once(settle, trace, partial(settle, of_free=True))
        self.handover.settled(one.held for one in settled if not one.is_locked)
        tell_outcomes(self.hooks, DESTINATION, settled)
        if any(one.verdict is not None and one.verdict.status is Status.PENDING for one in settled):
            self.waiting_holds.ring()
        return settled, states

    def _settle(
        self, connection: Connection, outcomes: Sequence[ClaimOutcome], caller: Token, **how: bool
    ) -> tuple[list[SettledClaim], dict[UUID, Row[Any]]]:
        settled = self.claims.settle(connection, outcomes, self.catalogue.type_of, caller.may_use, **how)
        lost = [one.held.id for one in settled if one.verdict is None]
        return settled, self.view.states(connection, lost) if lost else {}

    # -- the monitor -------------------------------------------------------------------------

    def _step(self) -> float:
        self.catalogue.refresh_if_stale()
        return min(self._monitor.step(), self._chart_writer.step(), self.settings.type_refresh_seconds)

    def _close(self) -> None:
        self._chart_writer.close()
        self._monitor.close()

    def _tell_of_refusal(self, error: DBAPIError) -> None:
        self.hooks.emit(StepFailed(DESTINATION, error, 0.0))

    def _tell_of_locks(self, rows: int) -> None:
        self.hooks.emit(RowsLocked(DESTINATION, rows))

    def _longest_lease(self) -> float:
        """Return how long a claim may last that anybody can hold here, in seconds."""
        by_types = (kind.max_processing_time_seconds + LEASE_REST for kind in self.catalogue.values())
        return max([self.settings.max_lease_seconds, *by_types])

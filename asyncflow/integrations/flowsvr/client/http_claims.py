"""Claims that a task service gave, over HTTP: a worker's other source."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Lock
from uuid import UUID

import orjson
from sqlalchemy import Connection

from asyncflow.errors import ServiceAwayError, ServiceRefusedError, TaskServiceError, UnreadableAnswerError
from asyncflow.events import Hooks, StepFailed, UnknownTypeSeen
from asyncflow.integrations.flowsvr.client.answers import Held, HeldTask
from asyncflow.integrations.flowsvr.client.backoff import Backoff
from asyncflow.integrations.flowsvr.client.client import TaskServiceClient
from asyncflow.integrations.flowsvr.client.holds import Holds
from asyncflow.integrations.flowsvr.client.joint_claims import JointClaims
from asyncflow.integrations.flowsvr.client.outcomes import outcome_of, written_of
from asyncflow.integrations.flowsvr.client.pauses import Pauses
from asyncflow.integrations.flowsvr.client.returns import STOPPING, UNREADABLE, Returns, batches
from asyncflow.outbox import Task
from asyncflow.scheduler.loops.pause import AdaptivePause
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import DESTINATION, Found, Written
from asyncflow.scheduler.worker.verdict import Verdict

_UNAUTHORIZED = (401, 403)
_LOCKED_SECONDS = (0.1, 2.0)  # that an outcome waits whose row somebody has locked: the first time, and at most
_PART_OF_STOP = 0.2  # of the time to stop: what the worker leaves of it


class HttpClaims:
    """Be the source of claims of one worker of a task service.

    While the service is away nothing is forgotten: verdicts wait until they are written or known to be late.
    ``claims`` writes the outcome of a transactional handler into the handler's own transaction. ``on_arrival`` is
    called, on a thread of the holds, when there is something to do.
    """

    takes_second_writer = False  # tasks arrive on threads of the holds, whatever is settled meanwhile

    def __init__(
        self,
        client: TaskServiceClient,
        name: str,
        claims: JointClaims,
        hooks: Hooks,
        on_arrival: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_arrival = on_arrival
        self._known: Collection[str] = ()  # the types with a handler here
        self._client = client
        self._settings = settings = client.settings
        self._name = name
        self._claims = claims
        self._hooks = hooks
        self._arrived: list[Claim] = []
        self._is_stopping = False
        self._lock = Lock()
        self._locked = Pauses(*_LOCKED_SECONDS)
        self._returns = Returns(client, hooks, DESTINATION)
        self._backoff = Backoff(settings.min_backoff_seconds, settings.max_backoff_seconds)
        pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._holds = Holds(self._hold, self._arrive, self._fail, wait_seconds=settings.wait_seconds, pause=pause)
        self._unknown: set[str] = set()

    def ask_for(self, types: Collection[str]) -> None:
        """Ask for tasks of these types, which have a handler here, from now on."""
        self._known = types

    def claim_due(self, free: Mapping[str, int]) -> Found:
        """Return what has arrived, and see to it that more is asked for."""
        with self._lock:
            claims, self._arrived = self._arrived, []
        if claims:
            return Found(claims, 0.0)
        left = self._backoff.seconds_left()
        return Found([], left or self._holds.want(free, self._known))

    def renew(self, claims: Collection[Claim]) -> set[UUID] | None:
        """Renew; return None, to be asked again soon, while the service is away."""
        if self._backoff.seconds_left():
            return None
        try:
            lost = self._renew_in_batches(list(claims))
        except TaskServiceError as error:
            self._fail(error)
            return None
        self._backoff.reset()
        return lost

    def settle(self, judged: Sequence[tuple[Claim, Verdict]], *, by_second: bool = False) -> Sequence[Written]:
        """Tell the service, in batches; leave out what it did not take, to be given again."""
        written: list[Written] = []
        free = [pair for pair in judged if not self._locked.lasts(pair[0].task.id)]
        for batch in batches(free, self._settings.settle_batch):
            if self._backoff.seconds_left():
                break
            written += self._tell(batch)
        return written

    def end_second_writer(self) -> None:
        """Do nothing: there is no second writer."""

    def begin(self, claim: Claim) -> None:
        """Do nothing: the service has counted the attempt."""

    def settle_in(self, connection: Connection, claim: Claim) -> None:
        """Write SUCCESS into the handler's own transaction, past the service; raises ClaimLostError."""
        self._claims.settle_in(connection, claim)

    def still_holds(self, connection: Connection, claim: Claim) -> bool:
        """Read from the table, past the service, whether the task is neither settled nor lost."""
        return self._claims.still_holds(connection, claim)

    def checkpoint(self, claim: Claim, stage: str, context: str | None) -> None:
        """Write a checkpoint; ask for as long as the claim lasts while the service is away."""
        value = None if context is None else orjson.loads(context)
        left, lease = max(0.0, claim.held_until - time.monotonic()), self._settings.claim_lease_seconds
        self._client.checkpoint(claim.task.id, claim.token, stage, value, lease_seconds=lease, retry_for_seconds=left)

    def stop_asking(self) -> None:
        """Ask for no more tasks, for the worker stops; give back what it has not begun to look at."""
        self._holds.stop_asking()
        with self._lock:
            self._is_stopping = True
            late, self._arrived = self._arrived, []
        if late:
            pairs = [(claim.task.id, claim.token) for claim in late]
            self._holds.aside(lambda: self._returns.give_back(pairs, STOPPING))

    def close(self) -> None:
        """Wait a while for the answers under way, whose threads give back what they bring, also when it is later."""
        self.stop_asking()
        self._holds.close(self._settings.stop_timeout_seconds * _PART_OF_STOP, self._client.close)

    # -- on a thread of the holds ------------------------------------------------------------------------

    def _hold(self, limits: Mapping[str, int], wait_seconds: float) -> Held:
        lease = self._settings.claim_lease_seconds
        try:
            return self._client.hold(self._name, limits, lease_seconds=lease, wait_seconds=wait_seconds)
        except UnreadableAnswerError as error:
            self._returns.put_off(error.claims, UNREADABLE)
            if error.held is None:
                raise
            self._hooks.emit(StepFailed("task-service", error, 0.0))
            held: Held = error.held
            return held

    def _arrive(self, held: Held, began: float) -> None:
        self._backoff.reset()
        # The claims began at the earliest when the request did.
        claims = self._claims_of(held.tasks, began + held.lease_seconds)
        with self._lock:
            is_late = self._is_stopping
            self._arrived += [] if is_late else claims
        if is_late and claims:
            self._returns.give_back([(claim.task.id, claim.token) for claim in claims], STOPPING)
        for name in set(held.unknown) - self._unknown:
            self._unknown.add(name)
            self._hooks.emit(UnknownTypeSeen(name))
        self._on_arrival()

    def _claims_of(self, tasks: Sequence[HeldTask], held_until: float) -> list[Claim]:
        """Return what can be worked on; each that cannot be taken in is told of and put off, and hinders no other."""
        claims: list[Claim] = []
        unread: list[tuple[UUID, UUID]] = []
        for task in tasks:
            try:
                claims.append(self._claim_of(task, held_until))
            except Exception as error:  # noqa: BLE001 - of one task, whatever another program may have written
                unread.append((task.id, task.token))
                self._hooks.emit(StepFailed("task-service", error, 0.0))
        if unread:
            self._returns.put_off(unread, UNREADABLE)
        return claims

    def _fail(self, error: Exception) -> None:
        self._hooks.emit(StepFailed("task-service", error, self._backoff.after(error)))
        self._on_arrival()

    def _claim_of(self, held: HeldTask, held_until: float) -> Claim:
        raw_id = self._claims.raw_id_of(held.id)
        headers = orjson.dumps(held.headers).decode() if held.headers else None
        payload = orjson.dumps(held.arguments)
        task = Task(raw_id, held.task_type, 0, held.key, headers, payload, held.attempt - 1, held.max_retries)
        context = None if held.context is None else orjson.dumps(held.context).decode()
        claim = Claim(task, held.token, held.stage, context, held_until)
        claim.leaves, claim.wants_result = held.is_followed, held.wants_result
        return claim

    def _renew_in_batches(self, claims: Sequence[Claim]) -> set[UUID]:
        lost: set[UUID] = set()
        for batch in batches(claims, self._settings.settle_batch):
            held_until, pairs = self._held_until(), [(claim.task.id, claim.token) for claim in batch]
            renewed = self._client.renewed(pairs, lease_seconds=self._settings.claim_lease_seconds)
            lost |= renewed.lost
            for claim in batch:
                if claim.task.id not in renewed.lost | renewed.locked:
                    claim.last_until(held_until)
        return lost

    def _held_until(self) -> float:
        """Return when a lease that the service begins from now on will not have run out yet."""
        return time.monotonic() + self._settings.claim_lease_seconds

    # -- settling ----------------------------------------------------------------------------------------

    def _tell(self, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        try:
            results = self._client.set([outcome_of(*pair) for pair in judged])
        except ServiceRefusedError as error:
            return self._after_refusal(judged, error)
        except ServiceAwayError as error:
            self._fail(error)
            return []
        self._backoff.reset()
        by_id = {result.id: result for result in results}
        locked = {result.id for result in results if result.locked}
        for task_id in locked:
            self._locked.begin(task_id)
        return [written_of(*pair, by_id.get(pair[0].task.id)) for pair in judged if pair[0].task.id not in locked]

    def _after_refusal(self, judged: Sequence[tuple[Claim, Verdict]], error: ServiceRefusedError) -> list[Written]:
        """Find the one outcome that the service will never take, so that it does not hold up the others."""
        if error.status in _UNAUTHORIZED:  # by a new token, perhaps, the service will
            self._fail(error)
            return []
        if len(judged) > 1:
            return [written for pair in judged for written in self._tell([pair])]
        self._hooks.emit(StepFailed("task-service", error, 0.0))
        return [written_of(*judged[0], None)]

"""What the core tells the world: frozen events, handed to hooks.

The core never counts and never writes a log; metrics, the tests' signals and the log itself are hooks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from asyncflow.errors import OptionError
from asyncflow.leash import Leash
from asyncflow.text import hide_parameters, shown


@dataclass(frozen=True, slots=True)
class Event:
    """Be the base of every event."""


@dataclass(frozen=True, slots=True)
class TaskEnqueued(Event):
    """A task row was added to the caller's transaction, which may still roll back."""

    task_id: UUID
    task_type: str
    key: str | None


@dataclass(frozen=True, slots=True)
class PageFetched(Event):
    """A round of pages was read: ``tasks`` rows of ``pages`` lanes."""

    destination: str
    pages: int
    tasks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TasksPublished(Event):
    """A batch came back from the broker; ``sent`` of ``tasks`` were acknowledged."""

    destination: str
    tasks: int
    sent: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """A handler raised or took too long; the next attempt is due in ``delay_seconds``, None if there is none."""

    task_id: UUID
    task_type: str
    key: str | None
    attempt: int
    attempts: int
    delay_seconds: float | None
    error: BaseException


@dataclass(frozen=True, slots=True)
class BuilderFailed(Event):
    """A message builder raised for ``tasks`` of a type; each of them is tried alone, then again later."""

    task_type: str
    tasks: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class PublisherFailed(Event):
    """A publisher raised for a batch of ``records``; each of them is tried alone, then again later."""

    destination: str
    records: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class TaskRetried(Event):
    """A task goes back to PENDING and is due again in ``delay_seconds``."""

    task_id: UUID
    task_type: str
    retry_count: int
    delay_seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class TaskFailed(Event):
    """A task became a dead letter: it was rejected, or its retries are spent; ``retry_count`` attempts have failed."""

    task_id: UUID
    task_type: str
    retry_count: int
    error: str


@dataclass(frozen=True, slots=True)
class TasksSettled(Event):
    """Outcomes were written and committed."""

    destination: str
    succeeded: int
    retried: int
    failed: int
    seconds: float
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class SettleFenced(Event):
    """Settles changed nothing, for another instance owns the shards now or somebody settled the rows."""

    destination: str
    tasks: int


@dataclass(frozen=True, slots=True)
class HandlerFailedLate(Event):
    """A transactional handler raised after the commit that settled its task: the task is done, the rest is not."""

    task_id: UUID
    task_type: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class RowsLocked(Event):
    """Somebody else holds locks on the rows of ``tasks``; these wait and are tried again, and nothing else waits."""

    destination: str
    tasks: int


@dataclass(frozen=True, slots=True)
class PeriodicTasksEnqueued(Event):
    """A periodic task was due: ``tasks`` of it were enqueued, the first of them for ``due_time``."""

    name: str
    task_type: str
    due_time: datetime
    tasks: int


@dataclass(frozen=True, slots=True)
class ClaimsRanOut(Event):
    """The monitor found tasks whose worker died or was cut off; all but those of AttemptsRefunded have spent one."""

    task_type: str
    given_back: int
    failed: int


@dataclass(frozen=True, slots=True)
class AttemptsRefunded(Event):
    """Of ``tasks`` that the monitor gave back nobody had heard that they had begun: their attempts are not spent."""

    task_type: str
    tasks: int


@dataclass(frozen=True, slots=True)
class BreakerChanged(Event):
    """A destination's circuit breaker, or that of one ``topic`` there, is now ``closed``, ``open`` or ``half-open``."""

    destination: str
    state: str
    retry_in_seconds: float
    error: str
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class OwnershipChanged(Event):
    """The instance owns ``shards`` of ``job`` from now on; ``lost`` are another one's, or nobody's."""

    job: str
    owner: str
    shards: tuple[int, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardsHandedOver(Event):
    """The instance finished its work on ``shards`` of ``job`` and made ``successor`` their owner."""

    job: str
    successor: str
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MembersChanged(Event):
    """``members`` share ``job`` from now on."""

    job: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnknownTypeSeen(Event):
    """Rows of a task type that this process does not declare wait; they are left alone."""

    task_type: str


@dataclass(frozen=True, slots=True)
class ConfigurationChanged(Event):
    """The options of ``task_type`` that the configuration table sets are ``options`` from now on, in this process."""

    task_type: str
    options: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class ConfigurationIgnored(Event):
    """A row of the configuration table is at fault; ``task_type`` goes on as declared until the row is mended."""

    task_type: str
    error: str


@dataclass(frozen=True, slots=True)
class TasksChanged(Event):
    """Somebody, ``actor``, changed tasks on purpose; the ``action`` is ``replay``, ``cancel`` or ``discard``."""

    action: str
    actor: str
    tasks: int


@dataclass(frozen=True, slots=True)
class AuditEntriesDeleted(Event):
    """The cleaner deleted audit rows whose retention is over."""

    rows: int


@dataclass(frozen=True, slots=True)
class SettledRowsDeleted(Event):
    """The cleaner deleted rows whose retention is over."""

    status: int
    rows: int


@dataclass(frozen=True, slots=True)
class RowsPutBack(Event):
    """Rows of ``task_type`` stood aside for no key that is parked, or for ``keys`` of a type that has no order now."""

    task_type: str
    rows: int
    keys: int


@dataclass(frozen=True, slots=True)
class RowsPutInOrder(Event):
    """Rows of ``task_type``, which is ordered now, were published while it was not: they go before all others."""

    task_type: str
    rows: int


@dataclass(frozen=True, slots=True)
class IdempotencyKeysForgotten(Event):
    """The cleaner deleted idempotency keys whose retention is over; each may be used anew."""

    keys: int


@dataclass(frozen=True, slots=True)
class TickMisfired(Event):
    """A tick came while ``loop`` was at work; one further run follows."""

    loop: str


@dataclass(frozen=True, slots=True)
class StepFailed(Event):
    """A step of a background loop raised; the loop goes on after ``pause_seconds``."""

    loop: str
    error: BaseException
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class StepRecovered(Event):
    """A step of a background loop went well again, after ``failures`` that raised."""

    loop: str
    failures: int


@dataclass(frozen=True, slots=True)
class LoopRestarted(Event):
    """The watchdog found a dead thread and started it anew."""

    loop: str


@dataclass(frozen=True, slots=True)
class JobItemFinished(Event):
    """A run of a job's item ended; the item is None where a job takes its whole share at once."""

    job: str
    item: int | None
    batches: int
    seconds: float


@dataclass(frozen=True, slots=True)
class JobFailed(Event):
    """A job's code raised; a stream goes on after ``pause_seconds``, other jobs with the next tick."""

    job: str
    item: int | None
    error: BaseException
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class JobFailedOver(Event):
    """An item that was running when its owner ended, or that was owed a run, runs again at once."""

    job: str
    item: int


@dataclass(frozen=True, slots=True)
class JobFenced(Event):
    """A run was left out, or its end not noted, for another instance owns the item now."""

    job: str
    item: int


@dataclass(frozen=True, slots=True)
class JobStopped(Event):
    """The error handler THROW stopped the job in this instance; its items are given back."""

    job: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class SchedulerStarted(Event):
    """The scheduler's loops run; it works for these destinations, messages, handlers, periodic tasks and jobs."""

    owner: str
    instance_index: int
    instance_count: int | None
    database: str = ""  # its URL, without the password
    destinations: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    periodic_tasks: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SchedulerStopped(Event):
    """The scheduler's loops have ended; ``clean`` is False if one had to be left behind."""

    owner: str
    clean: bool


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker takes tasks of ``task_types`` from the task service at ``server`` from now on."""

    worker: str
    server: str
    task_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerStopped(Event):
    """A worker of a task service has stopped; ``clean`` if its work in hand ended in time."""

    worker: str
    clean: bool


class Hook(Protocol):
    """Receive every event, on the thread where it happened; return fast and do not block."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        ...


class ForksNothing:
    """Be a hook of our own, whose code forks nothing: it needs no leash."""


class Hooks:
    """Hand events to hooks, on any thread; a hook that raises is reported and never disturbs the work.

    The hooks are a tuple that is replaced as a whole: who adds or removes one does so on one thread at a time.
    """

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        if not isinstance(hooks, Iterable):
            raise OptionError(f"hooks is {shown(hooks)}; give a list of hooks")
        self._hooks: tuple[Hook, ...] = ()
        for hook in hooks:
            self.add(hook)

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def __iter__(self) -> Iterator[Hook]:
        return iter(self._hooks)

    def add(self, hook: Hook) -> None:
        """Hand all further events to ``hook`` as well."""
        if not callable(hook):
            raise OptionError(f"hooks holds {shown(hook)}; give functions that take an event")
        self._hooks = (*self._hooks, hook)

    def remove(self, hook: Hook) -> None:
        """Hand no further events to ``hook``; an unknown one is ignored."""
        self._hooks = tuple(known for known in self._hooks if known is not hook)

    @contextmanager
    def heard_by(self, hook: Hook) -> Iterator[None]:
        """Hand events to ``hook`` as well, for as long as the block runs."""
        self.add(hook)
        try:
            yield
        finally:
            self.remove(hook)

    def emit(self, event: Event) -> None:
        """Hand ``event`` to each hook in the order of their addition."""
        for hook in self._hooks:
            try:
                if isinstance(hook, ForksNothing):
                    hook(event)
                    continue
                with Leash():
                    hook(event)
            except Exception as error:
                hide_parameters(error)
                logging.getLogger("asyncflow").exception("The hook %r raised on %r", hook, event)

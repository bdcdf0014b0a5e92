"""Events of what runs beside the work: periodic tasks, and the cleaner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class PeriodicTasksEnqueued(Event):
    """A periodic task was due: ``tasks`` of it were enqueued, the first of them for ``due_time``."""

    name: str
    task_type: str
    due_time: datetime
    tasks: int


@dataclass(frozen=True, slots=True)
class AuditEntriesDeleted(Event):
    """The cleaner deleted audit rows whose retention is over."""

    rows: int


@dataclass(frozen=True, slots=True)
class InboxEntriesDeleted(Event):
    """The cleaner deleted rows of the inbox ``table`` whose retention is over; a message that comes again is new."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class SettledRowsDeleted(Event):
    """The cleaner deleted rows whose retention is over."""

    status: int
    rows: int


@dataclass(frozen=True, slots=True)
class TasksRolledOver(Event):
    """The cleaner moved ``rows`` of finished tasks into the numbered ``table``."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class NumberedTableClosed(Event):
    """The numbered ``table`` has its ``rows``; finished tasks go into ``following`` from now on."""

    table: str
    rows: int
    following: str


@dataclass(frozen=True, slots=True)
class NumberedTableDropped(Event):
    """The numbered ``table`` was dropped, with the ``rows`` that had gone into it: its time was over."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class RollOverHeldUp(Event):
    """What roll-over does next cannot be done now; it is tried again. Nothing is lost, and nothing dropped."""

    table: str
    reason: str


@dataclass(frozen=True, slots=True)
class RollOverGoesOn(Event):
    """What held roll-over up, last at ``table``, is over."""

    table: str


@dataclass(frozen=True, slots=True)
class ArchiveHeldUp(Event):
    """Nothing can be archived in ``directory`` now; it is tried again. Nothing is deleted, and nothing dropped."""

    directory: str
    reason: str


@dataclass(frozen=True, slots=True)
class ArchiveGoesOn(Event):
    """What can be deleted and dropped is archived in ``directory`` again."""

    directory: str


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

"""The audit: who changed which task on purpose, when, how and why."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, Table

from asyncflow.errors import OptionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.ids import new_id
from asyncflow.outbox.look_up.cursor import Cursor, cursor_of
from asyncflow.outbox.options import require_whole
from asyncflow.outbox.queries import insert_absent
from asyncflow.outbox.tables import ACTOR_LENGTH, REASON_LENGTH
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.connections.engine_check import require_place
from asyncflow.scheduler.operator import queries
from asyncflow.text import require_text

MOST_READ = 10_000


class Subject(NamedTuple):
    """Name what was changed and is no task: a task type, or another ``kind`` of thing, whose name is the key."""

    task_type: str
    task_key: str | None = None
    id: UUID = UUID(int=0)

    @classmethod
    def of(cls, kind: str, name: str) -> Subject:
        """Name an instance, a job, or an item: no task type is called ``@instance``."""
        return cls(f"@{kind}", name)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Tell of one change of one task; ``at`` is by the database's clock.

    Of a task type, an instance or a job, the task's id is all zeros: see Subject.
    """

    at: datetime
    actor: str
    action: str
    task_id: UUID
    task_type: str
    task_key: str | None
    reason: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Act:
    """Hold what a person does: it is written once for each task that it changes. Raises OptionError."""

    action: str
    actor: str
    reason: str | None = None

    def __post_init__(self) -> None:
        require_text("actor", self.actor, ACTOR_LENGTH, OptionError)
        if self.reason is not None:
            require_text("reason", self.reason, REASON_LENGTH, OptionError)

    def told(self) -> str:
        """Return a line for the log of a task."""
        return f"{self.action} by {self.actor}" + (f": {self.reason}" if self.reason else "")

    def write(self, connection: Connection, entries: Table, tasks: Sequence[Any], details: Sequence[str]) -> list[UUID]:
        """Write an entry for each task, in the transaction that changes it; return the entries' ids."""
        rows = [self._row(new_id(), task, detail) for task, detail in zip(tasks, details, strict=True)]
        if rows:
            dialect_of(connection.dialect.name).insert_many(connection, entries, rows)
        return [row["id"] for row in rows]

    def writing(self, entries: Table, subject: Subject, detail: str | None = None) -> Callable[[Connection], None]:
        """Return what writes one entry beside a change that may be made again: once, however often that is."""
        entry = ActEntry(entries, self._row(new_id(), subject, detail))

        def write(connection: Connection) -> None:
            entry.write(connection)

        return write

    def entry(self, entries: Table, subject: Subject) -> ActEntry:
        """Return an entry for one change, by which it is known whether that has happened."""
        return ActEntry(entries, self._row(new_id(), subject, None))

    def _row(self, entry_id: UUID, task: Any, detail: str | None) -> dict[str, Any]:
        return {
            "id": entry_id,
            "at": NO_TIME,
            "actor": self.actor,
            "action": self.action,
            "task_id": task.id,
            "task_type": task.task_type,
            "task_key": task.task_key,
            "reason": self.reason,
            "detail": detail,
        }


class ActEntry:
    """Be one entry of one change, which is written with it."""

    def __init__(self, entries: Table, row: Mapping[str, Any]) -> None:
        self._entries = entries
        self._row = row

    def write(self, connection: Connection) -> bool:
        """Write it; return False if it is there, after an open transaction that writes it has ended."""
        return insert_absent(connection, self._entries, [self._row]) == 1

    def is_there(self, connection: Connection) -> bool:
        """Tell whether it was written."""
        return connection.execute(queries.is_there(self._entries, self._row["id"])).first() is not None


def noting(act: Act | None, entries: Table, subject: Subject) -> Callable[[Connection], None]:
    """Return what writes an entry of an act beside its change; nothing if nobody is named."""
    return (lambda _: None) if act is None else act.writing(entries, subject)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Hold a page of the audit; ``next`` is what to give as ``after`` for the page behind it, None at the end."""

    entries: list[AuditEntry]
    next: str | None


class Audit:
    """Read the audit; any thread may call."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        require_place(engine, outbox)
        self._engine = engine
        self._entries = outbox.audit_entries

    def entries(self, *, task_id: UUID | None = None, limit: int = 100) -> list[AuditEntry]:
        """Return the latest entries, or those of one task, latest first; raises OptionError."""
        return self.page(task_id=task_id, limit=limit).entries

    def page(self, *, task_id: UUID | None = None, limit: int = 100, after: str | None = None) -> AuditPage:
        """Return a page of the entries, latest first; pages repeat and skip none. Raises OptionError."""
        require_whole("limit", limit, 1, MOST_READ)
        of: Hashable = ("audit", task_id)
        cursor = None if after is None else cursor_of(after, "after", of)
        statement = queries.latest(self._entries, of_task=task_id is not None, behind=cursor is not None)
        values: dict[str, Any] = {"most": limit + 1, "its_id": task_id}
        if cursor is not None:
            values |= {"after_time": cursor.moment, "after_id": cursor.id}
        rows = run_briefly(self._engine, lambda connection: connection.execute(statement, values).all())
        last = rows[limit - 1] if len(rows) > limit else None
        following = None if last is None else Cursor(0, "", 0, last.at, last.id).as_text(of)
        return AuditPage([AuditEntry(*row[:-1]) for row in rows[:limit]], following)

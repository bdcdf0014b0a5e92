"""Tasks as people and services look at them: one, a page of them, how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row

from asyncflow.outbox import Outbox, Status
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.look_up import queries
from asyncflow.outbox.look_up.task_rows import TaskRows
from asyncflow.outbox.outcome.follow_up import follow_up_in
from asyncflow.outbox.task import headers_of
from asyncflow.scheduler.operator.shown_payload import payload_seen
from asyncflow.scheduler.operator.type_counts import COUNT_LIMIT, TypeCounts, count_types, count_up_to
from asyncflow.scheduler.table.claim_owner import shown_owner


class TaskView(TaskRows):
    """Look at tasks in the transaction of the connection given; has no state, any thread uses it."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox.shelf, outbox.contexts)
        self._tasks = outbox.tasks

    def one(self, connection: Connection, task_id: UUID) -> Row[Any] | None:
        """Read one task whole."""
        statement_of = partial(queries.shown_whole, contexts=self._contexts)
        rows = self._shelf.rows(connection, statement_of, {"its_id": task_id})
        return rows[0] if rows else None

    def counts(self, connection: Connection, task_type: str | None = None) -> TypeCounts:
        """Count the tasks of each type and status, or of one type, none beyond the limit of the answer.

        Those that rolled over are counted no more.
        """
        if task_type is None:
            return count_types(connection, self._tasks, Status)
        of_type = [(status, task_type) for status in Status]
        return TypeCounts(count_up_to(connection, self._tasks, of_type, COUNT_LIMIT), COUNT_LIMIT)


@dataclass(frozen=True, slots=True)
class TaskState:
    """Tell all of one task; ``context`` is the last checkpoint's."""

    task_id: UUID
    task_type: str
    key: str | None
    status: Status
    priority: int
    retry_count: int
    max_retries: int
    stage: str | None
    context: Any
    owner: str | None
    created_at: datetime
    modified_at: datetime
    next_select_time: datetime
    headers: dict[str, str]
    payload: bytes | None
    log: str
    follow_up: str | None = None  # the type of the task that follows it
    encrypted: str | None = None  # of an encrypted payload: the algorithm, the key's name, how many bytes
    hidden: str | None = None  # why an encrypted payload is not shown


def state_of(row: Row[Any], encryption: Encryption) -> TaskState:
    """Return the state of a task from its whole row, with the payload in the clear if that can be had here."""
    follows, seen = follow_up_in(row.headers), payload_seen(row, encryption)
    return TaskState(
        task_id=row.id,
        task_type=row.task_type,
        key=row.task_key,
        status=Status(row.status),
        priority=row.priority,
        retry_count=row.retry_count,
        max_retries=row.max_retries,
        stage=row.stage,
        context=None if row.context is None else orjson.loads(row.context),
        owner=shown_owner(row.owner),
        created_at=row.created_at,
        modified_at=row.modified_at,
        next_select_time=row.next_select_time,
        headers=headers_of(row.headers),
        payload=seen.content,
        log=row.schedule_log or "",
        follow_up=None if follows is None else follows["task_type"],
        encrypted=seen.encrypted,
        hidden=seen.hidden,
    )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Tell of one FAILED task."""

    task_id: Any
    task_type: str
    key: str | None
    retry_count: int
    failed_at: datetime
    log: str


def letter_of(row: Row[Any]) -> DeadLetter:
    """Return a dead letter from what a list shows of its row."""
    return DeadLetter(
        task_id=row.id,
        task_type=row.task_type,
        key=row.task_key,
        retry_count=row.retry_count,
        failed_at=row.modified_at,
        log=row.schedule_log or "",
    )

"""Tasks as people and services look at them: one, a page of them, how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection, Row, Table

from asyncflow.outbox import Outbox, Status
from asyncflow.outbox.outcome.follow_up import follow_up_in
from asyncflow.outbox.task import headers_of
from asyncflow.scheduler.operator import queries as task_queries
from asyncflow.scheduler.operator.cursor import Cursor
from asyncflow.scheduler.operator.key_rows import KeyRows
from asyncflow.scheduler.operator.type_counts import COUNT_LIMIT, TypeCounts, count_types, count_up_to
from asyncflow.scheduler.table.claim_owner import shown_owner
from asyncflow.scheduler.table.raw_ids import raw_form


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Choose tasks; None chooses all."""

    task_type: str | None = None
    status: Status | None = None
    key: str | None = None

    def takes(self, row: Any) -> bool:
        """Tell whether a row of the key, if there is one, is chosen."""
        return self.task_type in (None, row.task_type) and self.status in (None, row.status)


class TaskPage(NamedTuple):
    """Hold some rows, and where the next page begins; None behind the last one."""

    rows: Sequence[Row[Any]]
    next: Cursor | None


class TaskView:
    """Look at tasks in the transaction of the connection given; has no state, any thread uses it."""

    def __init__(self, outbox: Outbox) -> None:
        self._tasks = outbox.tasks
        self._contexts = outbox.contexts

    def one(self, connection: Connection, task_id: UUID) -> Row[Any] | None:
        """Read one task whole."""
        statement = task_queries.shown_whole(self._tasks, self._contexts)
        return connection.execute(statement, {"its_id": task_id}).one_or_none()

    def states(self, connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
        """Read several tasks without payload and context, by id."""
        raw_ids = [raw_form(task_id, connection.dialect.name) for task_id in ids]
        return {row.id: row for row in connection.execute(task_queries.states(self._tasks), {"ids": raw_ids})}

    def page(
        self, connection: Connection, chosen: Filter, most: int, cursor: Cursor | None, *, brief: bool = True
    ) -> TaskPage:
        """Read up to ``most`` tasks behind the cursor.

        Of a key with many tasks that are not chosen a page may have fewer, or none, and yet a next one. ``brief``
        leaves payloads and contexts out. A task that is enqueued or settled between two pages may be in
        none or in both; any other is in exactly one.
        """
        contexts = None if brief else self._contexts
        if chosen.key is not None:
            return self._page_of_key(connection, chosen, most, cursor, contexts)
        found: list[Row[Any]] = []
        for statement, values in self._statements(chosen, cursor, contexts):
            found += connection.execute(statement, {**values, "most": most + 1 - len(found)}).all()
            if len(found) > most:
                break
        rows = found[:most]
        return TaskPage(rows, Cursor.along_index(rows[-1]) if len(found) > most else None)

    def _page_of_key(
        self, connection: Connection, chosen: Filter, most: int, cursor: Cursor | None, contexts: Table | None
    ) -> TaskPage:
        page = KeyRows(self._tasks, chosen.key or "", chosen.takes).page(connection, cursor, most)
        ids = [raw_form(row.id, connection.dialect.name) for row in page.rows]
        statement = task_queries.enqueued_in_order(self._tasks, contexts)
        rows = connection.execute(statement, {"ids": ids}).all() if ids else []
        return TaskPage(rows, page.last)

    def counts(self, connection: Connection, task_type: str | None = None) -> TypeCounts:
        """Count the tasks of each type and status, or of one type, none beyond the limit of the answer."""
        if task_type is None:
            return count_types(connection, self._tasks, Status)
        of_type = [(status, task_type) for status in Status]
        return TypeCounts(count_up_to(connection, self._tasks, of_type, COUNT_LIMIT), COUNT_LIMIT)

    def _statements(
        self, chosen: Filter, cursor: Cursor | None, contexts: Table | None
    ) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        listed = partial(task_queries.of_status, contexts=contexts)
        for status in [chosen.status] if chosen.status is not None else list(Status):
            if cursor is None or status >= cursor.status:
                behind = cursor if cursor is not None and status == cursor.status else None
                yield from along_index(listed, self._tasks, status, chosen.task_type, behind)


def along_index(
    statement_of: Callable[..., Any], tasks: Table, status: Status, task_type: str | None, behind: Cursor | None
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the statements that read on behind a row, or from the first: each is given as many as are wanted still."""
    is_fixed = task_type is not None
    values = {"its_status": int(status), **({"its_type": task_type} if is_fixed else {})}
    if behind is None:
        yield statement_of(tasks, of_type=is_fixed, behind=None), values
        return
    at = dict(zip(task_queries.WALK, behind[1:], strict=True))
    for depth in range(len(task_queries.WALK) - 1, 0 if is_fixed else -1, -1):
        used = {f"at_{name}": at[name] for name in task_queries.WALK[: depth + 1]}
        yield statement_of(tasks, of_type=is_fixed, behind=depth), {**values, **used}


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


def state_of(row: Row[Any]) -> TaskState:
    """Return the state of a task from its whole row."""
    follows = follow_up_in(row.headers)
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
        payload=row.payload,
        log=row.schedule_log or "",
        follow_up=None if follows is None else follows["task_type"],
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

"""A walk over tasks in pages that neither repeat nor skip one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.cursor import Cursor
from asyncflow.scheduler.operator.key_rows import KeyRows
from asyncflow.scheduler.operator.selection import Selection
from asyncflow.scheduler.operator.task_view import Filter, along_index


class Walk(Protocol):
    """Read where rows stand, in one order, page by page, none that came after the walk began."""

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> list[Cursor]:
        """Return the cursors of up to ``limit`` rows behind ``after``; none at the end."""
        ...


def walk_of(selection: Selection, outbox: Outbox, status: Status, until: datetime) -> Walk:
    """Return the walk over the selected rows of a status; ``until`` is when it begins, by the database's clock."""
    if selection.key is not None:
        return _KeyWalk(outbox, status, until, selection.key, selection.task_type)
    return _IndexWalk(outbox, status, until, selection.task_type)


class _IndexWalk:
    """Walk along the one index: from lane to lane, in each by order_time and id.

    What came after the walk began is read and passed over: a condition would have a statement look for the next row
    that fits, however far that is.
    """

    def __init__(self, outbox: Outbox, status: Status, until: datetime, task_type: str | None) -> None:
        self._tasks = outbox.tasks
        self._status = status
        self._until = until
        self._task_type = task_type

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> list[Cursor]:
        found: list[Cursor] = []
        while len(found) < limit:
            most = limit - len(found)
            rows = self._read(connection, after, most)
            found += [Cursor.along_index(row) for row in rows if _was_there(row, self._until)]
            if len(rows) < most:
                break
            after = Cursor.along_index(rows[-1])
        return found

    def _read(self, connection: Connection, after: Cursor | None, most: int) -> list[Row[Any]]:
        rows: list[Row[Any]] = []
        for statement, values in along_index(queries.places, self._tasks, self._status, self._task_type, after):
            rows += connection.execute(statement, {**values, "most": most - len(rows)}).all()
            if len(rows) == most:
                break
        return rows


class _KeyWalk:
    """Walk along the index of keys, in the order of enqueueing."""

    def __init__(self, outbox: Outbox, status: Status, until: datetime, key: str, task_type: str | None) -> None:
        chosen = Filter(task_type=task_type, status=status)
        self._rows = KeyRows(outbox.tasks, key, lambda row: chosen.takes(row) and _was_there(row, until))

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> list[Cursor]:
        return list(map(Cursor.along_key, self._rows.all_the_way(connection, after, limit)))


def _was_there(row: Any, until: datetime) -> bool:
    """Tell whether a row is older than that: neither enqueued later, nor settled later, as what fails again is."""
    is_settled = row.status != Status.PENDING
    return bool(row.created_at <= until and not (is_settled and row.order_time > until))

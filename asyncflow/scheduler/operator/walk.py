"""A walk over tasks in pages that neither repeat nor skip one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.queries import Lane, read_heads, read_heads_of
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.cursor import Cursor
from asyncflow.scheduler.operator.key_rows import KeyRows
from asyncflow.scheduler.operator.selection import Selection
from asyncflow.scheduler.operator.task_view import Filter


class Walk(Protocol):
    """Read where rows stand, in one order, page by page, none that came after the walk began."""

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> list[Cursor]:
        """Return the cursors of up to ``limit`` rows behind ``after``; none at the end."""
        ...


def walk_of(selection: Selection, outbox: Outbox, status: Status, until: datetime) -> Walk:
    """Return the walk over the selected rows of a status; ``until`` is when it begins, by the database's clock."""
    if selection.key is not None:
        return _KeyWalk(outbox, status, until, selection.key, selection.task_type)
    return _LaneWalk(outbox, status, until, selection.task_type)


class _LaneWalk:
    """Walk along the one index: from lane to lane, in each by order_time and id."""

    def __init__(self, outbox: Outbox, status: Status, until: datetime, task_type: str | None) -> None:
        self._outbox = outbox
        self._status = status
        self._until = until
        self._task_type = task_type
        self._lanes: Sequence[Lane] | None = None

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> list[Cursor]:
        if self._lanes is None:
            self._lanes = self._read_lanes(connection)
        found: list[Cursor] = []
        for lane in self._lanes:
            if after is None or lane >= after.lane:
                inside = after if after is not None and lane == after.lane else None
                found += self._read(connection, lane, inside, limit - len(found))
                if len(found) == limit:
                    break
        return found

    def _read_lanes(self, connection: Connection) -> Sequence[Lane]:
        tasks = self._outbox.tasks
        if self._task_type is None:
            heads = read_heads(connection, tasks, self._status)
        else:
            heads = read_heads_of(connection, tasks, self._status, self._task_type)
        return sorted(head[:2] for head in heads)

    def _read(self, connection: Connection, lane: Lane, after: Cursor | None, limit: int) -> list[Cursor]:
        # What fails again while it is walked over has failed later than the walk began. What waits may be due later.
        by_enqueue = self._status is Status.PENDING
        statement = queries.lane_page(
            self._outbox.tasks, int(self._status), behind=after is not None, by_enqueue=by_enqueue
        )
        values = {"its_type": lane[0], "its_shard": lane[1], "until": self._until, "limit": limit}
        if after is not None:
            values |= {"after_time": after.moment, "after_id": after.id}
        rows = connection.execute(statement, values)
        return [Cursor(int(self._status), *lane, row.time, row.id) for row in rows]


class _KeyWalk:
    """Walk along the index of keys, in the order of enqueueing."""

    def __init__(self, outbox: Outbox, status: Status, until: datetime, key: str, task_type: str | None) -> None:
        chosen = Filter(task_type=task_type, status=status)
        self._until = until
        self._rows = KeyRows(outbox.tasks, key, lambda row: chosen.takes(row) and self._was_there(row))

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> list[Cursor]:
        return list(map(Cursor.along_key, self._rows.all_the_way(connection, after, limit)))

    def _was_there(self, row: Any) -> bool:
        is_settled = row.status != Status.PENDING
        return row.created_at <= self._until and not (is_settled and row.order_time > self._until)

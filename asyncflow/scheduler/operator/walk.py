"""A walk over tasks in pages that neither repeat nor skip one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Row

from asyncflow.outbox import Outbox
from asyncflow.outbox.look_up import queries as look_up_queries
from asyncflow.outbox.look_up.cursor import Cursor
from asyncflow.outbox.look_up.key_rows import KeyRows
from asyncflow.outbox.look_up.task_rows import Filter, along_index
from asyncflow.outbox.rolling.shelf import Shelf
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads.queries import Lane, read_heads, read_heads_of
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.selection import Selection


class WalkPage(NamedTuple):
    """Hold where rows stand, and behind which place to go on; None at the end.

    It may hold few rows, or none, and yet go on: no page reads more than a part of what is not selected.
    """

    places: Sequence[Cursor]
    next: Cursor | None

    @classmethod
    def of(cls, places: Sequence[Cursor], limit: int) -> WalkPage:
        """Return the page of the first ``limit`` places, which goes on if there are more."""
        shown = places[:limit]
        return cls(shown, shown[-1] if len(places) > limit else None)


class Walk(Protocol):
    """Read where rows stand, in one order, page by page, none that came after the walk began."""

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> WalkPage:
        """Return up to ``limit`` rows behind ``after``, or from the first."""
        ...


def pages_of(walk: Walk, database: Database, limit: int) -> Iterator[Sequence[Cursor]]:
    """Yield where the rows of each page stand that has any, to the end; each page is read in its own transaction."""
    after = None
    while True:
        page = run_again(database, partial(walk.page, after=after, limit=limit))
        if page.places:
            yield page.places
        if page.next is None:
            return
        after = page.next


def walk_of(selection: Selection, outbox: Outbox, status: Status, until: datetime) -> Walk:
    """Return the walk over the selected rows of a status; ``until`` is when it begins, by the database's clock."""
    if selection.key is not None:
        return _KeyWalk(outbox, status, until, selection.key, selection.task_type)
    return _IndexWalk(outbox, status, until, selection.task_type)


def walk_of_old(task_type: str | None, outbox: Outbox, status: Status, until: datetime) -> Walk:
    """Return the walk over what was settled until then, of a type or of all: of each lane the first rows alone."""
    return _LaneWalk(outbox, status, until, task_type)


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

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> WalkPage:
        found: list[Cursor] = []
        while len(found) <= limit:
            most = limit + 1 - len(found)
            rows = self._read(connection, after, most)
            found += [Cursor.along_index(row) for row in rows if _was_there(row, self._until)]
            if len(rows) < most:
                break
            after = Cursor.along_index(rows[-1])
        return WalkPage.of(found, limit)

    def _read(self, connection: Connection, after: Cursor | None, most: int) -> list[Row[Any]]:
        rows: list[Row[Any]] = []
        for statement_of, values in along_index(look_up_queries.places, self._status, self._task_type, after):
            rows += connection.execute(statement_of(self._tasks), {**values, "most": most - len(rows)}).all()
            if len(rows) == most:
                break
        return rows


class _LaneWalk:
    """Walk from lane to lane, in each by order_time and id: what is younger is not even read, as most may be."""

    def __init__(self, outbox: Outbox, status: Status, until: datetime, task_type: str | None) -> None:
        self._outbox = outbox
        self._status = status
        self._until = until
        self._task_type = task_type
        self._lanes: Sequence[Lane] | None = None

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> WalkPage:
        if self._lanes is None:
            self._lanes = self._read_lanes(connection)
        found: list[Cursor] = []
        at = None if after is None else (after.task_type, after.shard)
        for lane in self._lanes:
            if at is None or lane >= at:
                found += self._read(connection, lane, after if lane == at else None, limit + 1 - len(found))
                if len(found) > limit:
                    break
        return WalkPage.of(found, limit)

    def _read_lanes(self, connection: Connection) -> Sequence[Lane]:
        tasks, name = self._outbox.tasks, self._task_type
        if name is None:
            heads = read_heads(connection, tasks, self._status)
        else:
            heads = read_heads_of(connection, tasks, self._status, name, self._outbox.shard_count)
        return sorted(head[:2] for head in heads)

    def _read(self, connection: Connection, lane: Lane, after: Cursor | None, limit: int) -> list[Cursor]:
        statement = queries.settled_in_lane(self._outbox.tasks, int(self._status), behind=after is not None)
        values = {"its_type": lane[0], "its_shard": lane[1], "until": self._until, "limit": limit}
        if after is not None:
            values |= {"after_time": after.moment, "after_id": after.id}
        rows = connection.execute(statement, values)
        return [Cursor(int(self._status), *lane, row.time, row.id) for row in rows]


class _KeyWalk:
    """Walk along the index of keys, in the order of enqueueing."""

    def __init__(self, outbox: Outbox, status: Status, until: datetime, key: str, task_type: str | None) -> None:
        chosen = Filter(task_type=task_type, status=status)
        self._rows = KeyRows(Shelf(outbox.tasks), key, lambda row: chosen.takes(row) and _was_there(row, until))

    def page(self, connection: Connection, after: Cursor | None, limit: int) -> WalkPage:
        rows, last = self._rows.page(connection, after, limit)
        return WalkPage(list(map(Cursor.along_key, rows)), last)


def _was_there(row: Any, until: datetime) -> bool:
    """Tell whether a row is older than that: neither enqueued later, nor settled later, as what fails again is."""
    is_settled = row.status != Status.PENDING
    return bool(row.created_at <= until and not (is_settled and row.order_time > until))

"""Tasks in the order of their enqueueing: along their ids, which begin with their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from asyncflow.outbox.look_up import queries
from asyncflow.outbox.look_up.cursor import LAST_ID, Cursor
from asyncflow.outbox.look_up.key_rows import TimeSpan
from asyncflow.outbox.look_up.task_rows import Filter, TaskPage, TaskRows
from asyncflow.outbox.rolling.shelf import Shelf

MOST_EXAMINED = 2_500  # rows, for one page
_AT_ONCE = 1_000  # rows that a statement reads, of what filters ask for


class TimeRows:
    """Read the tasks that were enqueued within a stretch of time, by the clocks of those who wrote them; has no state.

    A page of which few are chosen may have fewer rows than there is room for, or none, and yet a next one.
    """

    def __init__(self, shelf: Shelf, rows: TaskRows, chosen: Filter, span: TimeSpan) -> None:
        self._shelf = shelf
        self._rows = rows
        self._chosen = chosen
        self._newest_first = span.newest_first
        self._first = id_at(span.since) if span.since is not None else UUID(int=0)
        self._before = id_at(span.until) if span.until is not None else LAST_ID

    def page(self, connection: Connection, after: Cursor | None, most: int) -> TaskPage:
        """Read up to ``most`` tasks behind the cursor."""
        last = None if after is None else after.id
        found: list[Row[Any]] = []
        examined, at_once = 0, most + 1  # one more, to know whether there is more
        while True:
            rows = self._read(connection, last, at_once)
            wanted = [row for row in rows if self._chosen.takes(row)]
            room = most - len(found)
            found += wanted[:room]
            if len(wanted) > room:
                return self._page(connection, found, found[-1])
            if len(rows) < at_once:
                return self._page(connection, found, None)
            last, examined, at_once = rows[-1].id, examined + len(rows), _AT_ONCE
            if examined >= MOST_EXAMINED:
                return self._page(connection, found, rows[-1])

    def _read(self, connection: Connection, last: UUID | None, most: int) -> Sequence[Row[Any]]:
        first, before = self._first, self._before
        if last is not None and self._newest_first:
            before = min(before, last)
        elif last is not None:
            first = max(first, UUID(int=min(last.int + 1, LAST_ID.int)))
        values = {"first": first, "before": before, "most": most}
        newest_first = self._newest_first
        statement_of = partial(queries.along_time, newest_first=newest_first)
        return self._shelf.rows(connection, statement_of, values, ("id",), newest_first=newest_first)

    def _page(self, connection: Connection, found: Sequence[Row[Any]], last: Row[Any] | None) -> TaskPage:
        states = self._rows.states(connection, [row.id for row in found]) if found else {}
        cursor = None if last is None else Cursor.along_key(last)
        return TaskPage([states[row.id] for row in found if row.id in states], cursor)


def id_at(moment: datetime) -> UUID:
    """Return the first id that a moment can have: a UUIDv7 begins with 48 bits of milliseconds."""
    milliseconds = max(0, min(2**48 - 1, int(moment.timestamp() * 1000)))
    return UUID(int=milliseconds << 80)

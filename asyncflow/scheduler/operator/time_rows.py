"""Tasks in the order of their enqueueing, the newest first: along their ids, which begin with their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row

from asyncflow.outbox import Outbox
from asyncflow.scheduler.operator import look_queries
from asyncflow.scheduler.operator.cursor import Cursor
from asyncflow.scheduler.operator.task_view import Filter, TaskPage, TaskView

MOST_EXAMINED = 5_000  # rows, for one page
_AT_ONCE = 1_000  # rows that a statement reads, of what filters ask for
LAST_ID = UUID(int=2**128 - 1)


class TimeRows:
    """Read the tasks that were enqueued within a stretch of time, by the clocks of those who wrote them; has no state.

    A page of which few are chosen may have fewer rows than there is room for, or none, and yet a next one.
    """

    def __init__(self, outbox: Outbox, chosen: Filter, since: datetime | None, until: datetime | None) -> None:
        self._tasks = outbox.tasks
        self._view = TaskView(outbox)
        self._chosen = chosen
        self._first = id_at(since) if since is not None else UUID(int=0)
        self._before = id_at(until) if until is not None else LAST_ID

    def page(self, connection: Connection, after: Cursor | None, most: int) -> TaskPage:
        """Read up to ``most`` tasks behind the cursor, which are older."""
        before = self._before if after is None else after.id
        found: list[Row[Any]] = []
        examined, at_once = 0, most + 1  # one more, to know whether there is more
        while True:
            rows = self._read(connection, before, at_once)
            wanted = [row for row in rows if self._chosen.takes(row)]
            room = most - len(found)
            found += wanted[:room]
            if len(wanted) > room:
                return self._page(connection, found, found[-1])
            if len(rows) < at_once:
                return self._page(connection, found, None)
            before, examined, at_once = rows[-1].id, examined + len(rows), _AT_ONCE
            if examined >= MOST_EXAMINED:
                return self._page(connection, found, rows[-1])

    def _read(self, connection: Connection, before: UUID, most: int) -> Sequence[Row[Any]]:
        values = {"first": self._first, "before": before, "most": most}
        return connection.execute(look_queries.along_time(self._tasks), values).all()

    def _page(self, connection: Connection, found: Sequence[Row[Any]], last: Row[Any] | None) -> TaskPage:
        states = self._view.states(connection, [row.id for row in found]) if found else {}
        cursor = None if last is None else Cursor.along_key(last)
        return TaskPage([states[row.id] for row in found if row.id in states], cursor)


def id_at(moment: datetime) -> UUID:
    """Return the first id that a moment can have: a UUIDv7 begins with 48 bits of milliseconds."""
    milliseconds = max(0, min(2**48 - 1, int(moment.timestamp() * 1000)))
    return UUID(int=milliseconds << 80)

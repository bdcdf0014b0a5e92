"""The rows of one key as they were enqueued, filtered in pieces: no filter makes a statement read all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, Table

from asyncflow.scheduler.operator import queries

MOST_EXAMINED = 5_000  # rows of a key, for one page of a list
_AT_ONCE = 1_000  # rows that a statement reads


class KeyPlace(NamedTuple):
    """Name a row of a key by when it was enqueued."""

    created_at: datetime
    id: UUID


class KeyRowsPage(NamedTuple):
    """Hold rows of a key that are wanted, and behind which place to go on; None at the key's end."""

    rows: list[Row[Any]]
    last: KeyPlace | None


class KeyRows:
    """Read the rows of a key that are wanted; has no state."""

    def __init__(self, tasks: Table, key: str, is_wanted: Callable[[Row[Any]], bool]) -> None:
        self._tasks = tasks
        self._key = key
        self._is_wanted = is_wanted

    def page(self, connection: Connection, after: KeyPlace | None, most: int) -> KeyRowsPage:
        """Read up to ``most`` rows behind a place; fewer, or none, if too many of those behind it are not wanted."""
        found: list[Row[Any]] = []
        examined, at_once = 0, most + 1  # one more, to know whether there is more
        while examined < MOST_EXAMINED:
            rows = self._read(connection, after, at_once)
            wanted = [row for row in rows if self._is_wanted(row)]
            room = most - len(found)
            found += wanted[:room]
            if len(wanted) > room:
                return KeyRowsPage(found, _place(found[-1]))
            if len(rows) < at_once:
                return KeyRowsPage(found, None)
            after, examined, at_once = _place(rows[-1]), examined + len(rows), _AT_ONCE
        return KeyRowsPage(found, after)

    def all_the_way(self, connection: Connection, after: KeyPlace | None, most: int) -> list[Row[Any]]:
        """Read up to ``most`` rows behind a place, however many are not wanted; none at the key's end."""
        while True:
            page = self.page(connection, after, most)
            if page.rows or page.last is None:
                return page.rows
            after = page.last

    def _read(self, connection: Connection, after: KeyPlace | None, most: int) -> Sequence[Row[Any]]:
        values: dict[str, Any] = {"its_key": self._key, "most": most}
        if after is not None:
            values |= {"after_time": after.created_at, "after_id": after.id}
        return connection.execute(queries.along_key(self._tasks, behind=after is not None), values).all()


def _place(row: Row[Any]) -> KeyPlace:
    return KeyPlace(row.created_at, row.id)

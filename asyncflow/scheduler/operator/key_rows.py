"""The rows of one key as they were enqueued, filtered in pieces: no filter makes a statement read all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table

from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.cursor import Cursor

MOST_EXAMINED = 5_000  # rows of a key, for one page of a list
_AT_ONCE = 1_000  # rows that a statement reads


class KeyRowsPage(NamedTuple):
    """Hold rows of a key that are wanted, and behind which of the key's rows to go on; None at the key's end."""

    rows: list[Row[Any]]
    last: Cursor | None


class KeyRows:
    """Read the rows of a key that are wanted; has no state."""

    def __init__(self, tasks: Table, key: str, is_wanted: Callable[[Row[Any]], bool]) -> None:
        self._tasks = tasks
        self._key = key
        self._is_wanted = is_wanted

    def page(self, connection: Connection, after: Cursor | None, most: int) -> KeyRowsPage:
        """Read up to ``most`` rows behind a cursor; fewer, or none, if too many of those behind it are not wanted.

        However many, it goes on to a later moment: a cursor tells the moment of a row that is not wanted, and no more.
        """
        begin = after
        found: list[Row[Any]] = []
        examined, at_once = 0, most + 1  # one more, to know whether there is more
        while True:
            rows = self._read(connection, after, at_once)
            wanted = [row for row in rows if self._is_wanted(row)]
            room = most - len(found)
            found += wanted[:room]
            if len(wanted) > room:
                return KeyRowsPage(found, Cursor.along_key(found[-1]))
            if len(rows) < at_once:
                return KeyRowsPage(found, None)
            after, examined, at_once = Cursor.along_key(rows[-1]), examined + len(rows), _AT_ONCE
            if examined >= MOST_EXAMINED and _is_later(after, begin):
                return KeyRowsPage(found, Cursor.past_unwanted(after, found[-1] if found else None))

    def all_the_way(self, connection: Connection, after: Cursor | None, most: int) -> list[Row[Any]]:
        """Read up to ``most`` rows behind a cursor, however many are not wanted; none at the key's end."""
        while True:
            page = self.page(connection, after, most)
            if page.rows or page.last is None:
                return page.rows
            after = page.last

    def _read(self, connection: Connection, after: Cursor | None, most: int) -> Sequence[Row[Any]]:
        values: dict[str, Any] = {"its_key": self._key, "most": most}
        if after is not None:
            values |= {"after_time": after.moment, "after_id": after.id}
        return connection.execute(queries.along_key(self._tasks, behind=after is not None), values).all()


def _is_later(one: Cursor, other: Cursor | None) -> bool:
    return other is None or one.moment > other.moment

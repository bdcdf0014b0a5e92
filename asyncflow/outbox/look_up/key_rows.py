"""The rows of one key as they were enqueued, filtered in pieces: no filter makes a statement read all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from asyncflow.outbox.look_up import queries
from asyncflow.outbox.look_up.cursor import Cursor
from asyncflow.outbox.rolling.shelf import Shelf

MOST_EXAMINED = 2_500  # rows of a key, for one page of a list
_AT_ONCE = 1_000  # rows that a statement reads


class TimeSpan(NamedTuple):
    """Tell which stretch of time is read, from ``since`` to before ``until``, and in which direction."""

    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = False

    @property
    def begin(self) -> Cursor | None:
        """Return behind what to begin; None: at the first row."""
        moment = self.until if self.newest_first else self.since
        return None if moment is None else Cursor.before(moment)

    @property
    def end(self) -> datetime | None:
        """Return the moment behind which nothing is read, that itself if the newest comes first."""
        return self.since if self.newest_first else self.until


EVER = TimeSpan()


class KeyRowsPage(NamedTuple):
    """Hold rows of a key that are wanted, and behind which of the key's rows to go on; None at the key's end."""

    rows: list[Row[Any]]
    last: Cursor | None


class KeyRows:
    """Read the rows of a key that are wanted; has no state."""

    def __init__(self, shelf: Shelf, key: str, is_wanted: Callable[[Row[Any]], bool], span: TimeSpan = EVER) -> None:
        self._shelf = shelf
        self._key = key
        self._is_wanted = is_wanted
        self._span = span

    def page(self, connection: Connection, after: Cursor | None, most: int) -> KeyRowsPage:
        """Read up to ``most`` rows behind a cursor; fewer, or none, if too many of those behind it are not wanted.

        However many, it goes on to another moment: a cursor tells the moment of a row that is not wanted, and no more.
        """
        after = begin = self._span.begin if after is None else after
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
            if examined >= MOST_EXAMINED and (begin is None or after.moment != begin.moment):
                given = found[-1] if found else None
                return KeyRowsPage(found, Cursor.past_unwanted(after, given, newest_first=self._span.newest_first))

    def _read(self, connection: Connection, after: Cursor | None, most: int) -> Sequence[Row[Any]]:
        values: dict[str, Any] = {"its_key": self._key, "most": most}
        if after is not None:
            values |= {"after_time": after.moment, "after_id": after.id}
        end = self._span.end
        if end is not None:
            values["end_time"] = end
        newest_first = self._span.newest_first
        statement_of = partial(
            queries.along_key, behind=after is not None, newest_first=newest_first, ends=end is not None
        )
        order = ("created_at", "id")
        return self._shelf.rows(connection, statement_of, values, order, newest_first=newest_first)

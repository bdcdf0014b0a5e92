"""What was told already, by whichever instance: in the table, so that several tell once, also after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.ids import new_id
from asyncflow.outbox.queries import insert_absent
from asyncflow.scheduler.notices import queries
from asyncflow.scheduler.table.queries import read_clock

NOTICES = "asyncflow.notices"  # where the other idempotency keys have their task type
_TURN, _GONE = "turn", "gone "


class Untold(NamedTuple):
    """Hold what is to be told now, by key, at a moment of the database's clock."""

    at: datetime
    appeared: frozenset[str]
    still_there: frozenset[str]
    cleared: frozenset[str]


def together(tried: Sequence[Untold]) -> Untold:
    """Return the news of all tries of one transaction, of which any may be the one that committed."""
    return Untold(
        tried[-1].at,
        frozenset().union(*(news.appeared for news in tried)),
        frozenset().union(*(news.still_there for news in tried)),
        frozenset().union(*(news.cleared for news in tried)),
    )


class ToldFindings:
    """Remember in the transactions that it is given; has no state but the table.

    Whoever inserts a key, or deletes it, is the one who tells: of two instances one succeeds.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._entries = outbox.dedupe_entries

    def take_turn(self, connection: Connection, seconds: float) -> bool:
        """Return whether nobody has taken a turn for so many seconds; then it is ours."""
        self._forget_old(connection, _TURN, seconds)
        return self._remember(connection, _TURN)

    def take_in(
        self, connection: Connection, found: Iterable[str], *, repeat_seconds: float, quiet_seconds: float
    ) -> Untold:
        """Remember what was found, by key; return what nobody has told.

        What is found no more has cleared after ``quiet_seconds``: one that comes and goes is told once.
        """
        told = self._told(connection)
        now = connection.execute(read_clock()).scalar_one()
        there, gone = set(found), {key.removeprefix(_GONE) for key in told if key.startswith(_GONE)}
        known = {key for key in told if key != _TURN and not key.startswith(_GONE)}
        for key in there & gone:
            self._forget(connection, _GONE + key)
        appeared = {key for key in there - known if self._remember(connection, key)}
        late = {key for key in there & known if _age(now, told[key]) >= repeat_seconds}
        still_there = {key for key in late if self._forget_old(connection, key, repeat_seconds)}
        for key in still_there:
            self._remember(connection, key)
        for key in known - there - gone:
            self._remember(connection, _GONE + key)
        quiet = {key for key in gone - there if _age(now, told[_GONE + key]) >= quiet_seconds}
        cleared = {key for key in quiet if self._forget(connection, _GONE + key) and self._forget(connection, key)}
        return Untold(now, frozenset(appeared), frozenset(still_there), frozenset(cleared))

    def undo(self, connection: Connection, news: Untold) -> None:
        """Let news that nobody could be told be news again."""
        for key in news.appeared | news.still_there:
            self._forget(connection, key)
        for key in news.cleared:
            self._remember(connection, key)

    def _told(self, connection: Connection) -> dict[str, datetime]:
        rows = connection.execute(queries.read_told(self._entries), {"its_type": NOTICES})
        return {row.idempotency_key: row.created_at for row in rows}

    def _remember(self, connection: Connection, key: str) -> bool:
        row = {"task_type": NOTICES, "idempotency_key": key, "task_id": new_id(), "created_at": NO_TIME}
        return insert_absent(connection, self._entries, [row]) == 1

    def _forget(self, connection: Connection, key: str) -> bool:
        return self._run(connection, queries.forget(self._entries), {"its_key": key})

    def _forget_old(self, connection: Connection, key: str, seconds: float) -> bool:
        age = timedelta(seconds=seconds)
        values = {"its_key": key, "age": -age, "ahead": age}
        return self._run(connection, queries.forget_old(self._entries), values)

    def _run(self, connection: Connection, statement: Any, values: Mapping[str, Any]) -> bool:
        return connection.execute(statement, {"its_type": NOTICES, **values}).rowcount == 1


def _age(now: datetime, then: datetime) -> float:
    """Return the seconds between them: of a time that is ahead, too, for it is one of a clock that was set back."""
    return abs((now - then).total_seconds())

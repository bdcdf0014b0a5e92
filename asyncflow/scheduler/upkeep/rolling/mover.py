"""The mover: puts tasks that are over into the numbered table that is open."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.outbox.rolling.numbered_tables import NumberedTables
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.queries import delete_in_status, lock_free
from asyncflow.scheduler.table.row_locks import hold_writers
from asyncflow.scheduler.upkeep.rolling import queries
from asyncflow.scheduler.upkeep.rolling.position import Position, fault_of
from asyncflow.text import on_one_line


class Moved(NamedTuple):
    """Tell into which table how many rows went, and whether it has as many as it is to have."""

    table: str
    rows: int
    is_full: bool


class TableClosed(Exception):  # noqa: N818 - no error: the cleaner catches it
    """The table was closed meanwhile; what was moved is to be rolled back, and moved into the next one."""


class MoveRefused(Exception):  # noqa: N818 - no error of ours: the cleaner catches it
    """The database lets no row into the table, whichever it is."""

    def __init__(self, table: str, error: DBAPIError) -> None:
        super().__init__(table, error)
        self.table = table
        self.reason = (
            f"the database answered to move rows into it: {on_one_line(str(error.orig).partition(chr(10))[0])}"
        )


class Mover:
    """Move rows in the transaction that is given; has no state, used by the cleaner's thread.

    Rows, and their count, are moved by one transaction, which whoever closes the table waits for: nothing gets into
    a table that is closed.
    """

    def __init__(self, outbox: Outbox, numbered: NumberedTables) -> None:
        self._outbox = outbox
        self._numbered = numbered

    def move(self, connection: Connection, raw_ids: Collection[Any], status: Status) -> Moved | None:
        """Move those of the rows that are still in ``status``; None if there is no table for them.

        Raises TableClosed or MoveRefused.
        """
        tasks, positions = self._outbox.tasks, self._numbered.positions
        hold_writers(connection, self._outbox.shards)
        known = list(map(Position.of, connection.execute(queries.positions(positions))))
        if not known or fault_of(known):
            return None  # the keeper makes a table, or tells what is wrong
        number, before = next((one.number, one.row_count) for one in known if one.is_open)
        named = {"ids": sorted(raw_ids), "its_status": int(status)}
        ids = connection.execute(lock_free(tasks, skip_locked=False), named).scalars().all()
        table = self._numbered.table(number)
        if ids:
            its = {"ids": sorted(ids)}
            self._copy(connection, queries.move(tasks, table, int(status)), its, table)
            connection.execute(delete_in_status(tasks, int(status)), its)
            counted = connection.execute(queries.count_in(positions), {"its_number": number, "moved": len(ids)})
            if counted.rowcount != 1:
                raise TableClosed
        return Moved(table.fullname, len(ids), before + len(ids) >= self._numbered.options.rows)

    def _copy(self, connection: Connection, move: Insert, named: dict[str, Any], table: Table) -> None:
        try:
            connection.execute(move, named)
        except DBAPIError as error:
            if _is_not_of_the_table(error, connection):
                raise
            raise MoveRefused(table.fullname, error) from error


def _is_not_of_the_table(error: DBAPIError, connection: Connection) -> bool:
    """Tell whether a server that is away, or another transaction, is why: it is to be tried again as ever."""
    dialect = dialect_of(connection.dialect.name)
    may_be_tried_again = dialect.is_contention(error) or dialect.is_refused_write(error)
    return may_be_tried_again or is_lost(error, dialect)

"""The dropper: drops a numbered table whose time is over, with what its tasks have left elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Table
from sqlalchemy.schema import DropTable

from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.row_locks import hold_writers
from asyncflow.scheduler.upkeep.rolling import queries

_CONTEXTS = 500  # deleted in one transaction


class Dropper:
    """Look at a table for the last time, and drop it, by a database that is given; used by one thread.

    Each step may be taken again: one that was killed is gone on with.
    """

    def __init__(self, outbox: Outbox, database: Database) -> None:
        self._outbox = outbox
        self._database = database

    def unfinished(self, table: Table) -> Row[Any] | None:
        """Return a row that is not over: nothing but a hand gets one into a table that is closed."""
        return self._database.run(lambda connection: connection.execute(queries.unfinished(table)).first())

    def drop(self, table: Table) -> None:
        """Drop a table that nobody begins to read; raises what the database raises, a lock in use above all."""
        after: Any = None
        while page := self._database.run(partial(self._forget_contexts, table=table, after=after)):
            after = page[-1]

        def drop(connection: Connection) -> None:
            hold_writers(connection, self._outbox.shards)
            connection.execute(DropTable(table, if_exists=True))  # not Table.drop, which drops types that others use

        self._database.run(drop)

    def _forget_contexts(self, connection: Connection, table: Table, after: Any) -> Sequence[Any]:
        statement = queries.contexts_of(table, self._outbox.contexts, after)
        ids = connection.execute(statement, {"limit": _CONTEXTS}).scalars().all()
        Contexts(self._outbox).forget(connection, ids)
        return ids

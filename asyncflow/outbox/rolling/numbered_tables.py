"""The numbered tables of one outbox, made where they are needed."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, Table

from asyncflow.outbox.rolling import queries
from asyncflow.outbox.rolling.roll_over import RollOver
from asyncflow.outbox.tables.rolled_tables import numbered_table, position_table

_MOST_KNOWN = 256  # tables of an outbox, which statements are made of


class NumberedTables:
    """Know the tables that tasks of ``tasks`` roll over to; lives as long as its outbox, any thread may call."""

    def __init__(self, tasks: Table, prefix: str, options: RollOver) -> None:
        self.positions = position_table(tasks.metadata, f"{prefix}schedule_pos", tasks.schema)
        self.options = options
        # One object a number, for what SQLAlchemy compiles is kept by it; made late, when all columns are declared.
        self.table = lru_cache(maxsize=_MOST_KNOWN)(lambda number: numbered_table(tasks, number))

    def readable(self, connection: Connection) -> list[int]:
        """Read the numbers of the tables that may have rows and are not to be dropped, newest first."""
        return list(connection.execute(queries.readable(self.positions)).scalars())

"""The numbered tables of one outbox, made where they are needed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table

from asyncflow.errors import OptionError
from asyncflow.outbox.rolling import queries
from asyncflow.outbox.rolling.roll_over import RollOver
from asyncflow.outbox.tables.rolled_tables import numbered_table, position_table
from asyncflow.text import shown

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


def numbered_tables_of(tasks: Table, prefix: str, roll_over: Any) -> NumberedTables | None:
    """Return the numbered tables that an application wants; None if it wants none. Raises OptionError."""
    if roll_over is None:
        return None
    if not isinstance(roll_over, RollOver):
        raise OptionError(
            f"roll_over is {shown(roll_over)}; give a RollOver, such as RollOver(rows=1_000_000), or None"
        )
    return NumberedTables(tasks, prefix, roll_over)

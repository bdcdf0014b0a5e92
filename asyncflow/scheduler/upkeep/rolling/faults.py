"""What is wrong with the numbered tables and their positions, which no step mends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, Table, inspect

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.schema.choose import schema_dialect_of
from asyncflow.outbox.rolling.numbered_tables import NumberedTables
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.upkeep.rolling import queries
from asyncflow.scheduler.upkeep.rolling.position import Position, fault_of, numbers_without_position


class Faults:
    """Look for them by a database that is given; used by the keeper's thread."""

    def __init__(self, outbox: Outbox, numbered: NumberedTables, database: Database) -> None:
        self._outbox = outbox
        self._numbered = numbered
        self._database = database

    def first(self, positions: Sequence[Position]) -> str | None:
        """Return the first fault, with what mends it; None if there is none."""
        if fault := fault_of(positions):
            return f"the positions are not what roll-over writes: {fault}; put them right as they were, by hand"
        return self._of_what_is_there(positions) or self._of_columns(positions)

    def _of_what_is_there(self, positions: Sequence[Position]) -> str | None:
        kept = [one.number for one in positions if one.forgotten_for is None]
        if missing := [name for name, there in self._are_there(kept) if not there]:
            return (
                f"{', '.join(missing)} is not there, though it has a position: restore it, or, if what it held is not "
                f"wanted, create it empty, like {self._outbox.tasks.fullname}"
            )
        if strays := [name for name, there in self._are_there(numbers_without_position(positions)) if there]:
            return (
                f"{', '.join(strays)} is there, and has no position in {self._numbered.positions.fullname}: nobody "
                "reads or drops it; write its position again, as between those beside it, or drop the table"
            )
        return None

    def _are_there(self, numbers: Sequence[int]) -> list[tuple[str, bool]]:
        tables = map(self._numbered.table, numbers)
        return [(table.fullname, self._database.run(partial(is_there, table=table))) for table in tables]

    def _of_columns(self, positions: Sequence[Position]) -> str | None:
        taking = [self._numbered.table(one.number) for one in positions if one.is_open or one.is_ahead]
        if lacking := [change for table in taking for change in self._database.run(partial(_lacking, table=table))]:
            return f"columns of {self._outbox.tasks.fullname} are missing where rows go: {'; '.join(lacking)}"
        return None


def _lacking(connection: Connection, table: Table) -> list[str]:
    """Return what adds the columns that were declared after a table was made."""
    names = connection.execute(queries.no_row(table)).keys()
    there = {name.lower() for name in names}
    schema = schema_dialect_of(connection.dialect)
    missing = [column for column in table.columns if column.name.lower() not in there]
    return [statement for column in missing for statement in schema.add_column(column)]


def is_there(connection: Connection, table: Table) -> bool:
    """Tell whether there is such a table."""
    return inspect(connection).has_table(table.name, schema=table.schema)

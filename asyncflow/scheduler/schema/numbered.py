"""The numbered tables of roll-over as the look at a schema sees them: what is read of tasks is read of them, too."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, MetaData, Table

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.schema.live import LiveTable, is_ours
from asyncflow.outbox.dialects.schema.protocol import SchemaDialect
from asyncflow.outbox.rolling.numbered_tables import NumberedTables
from asyncflow.outbox.rolling.roll_over import RollOver
from asyncflow.scheduler.schema.compare import differences
from asyncflow.scheduler.schema.difference import DifferenceKind, SchemaDifference

_KINDS = (DifferenceKind.COLUMN_MISSING, DifferenceKind.TYPE)  # all else, such as an index, the next table has


def numbered_differences(
    connection: Connection, outbox: Outbox, schema: SchemaDialect
) -> Iterator[tuple[Table, LiveTable, list[SchemaDifference]]]:
    """Give each numbered table that is read, and lacks a column of ours or has a narrow one, with what differs."""
    tables = _readable(connection, outbox, schema)
    live = schema.read(connection, tables) if tables else {}
    for table in tables:
        if table in live and live[table].bears_name is None:
            found = [one for one in differences(table, live[table], schema) if _is_needed(one, table)]
            if found:
                yield table, live[table], found


def _readable(connection: Connection, outbox: Outbox, schema: SchemaDialect) -> list[Table]:
    """Return those that may have rows, oldest first; none where nothing rolls over, or the positions are damaged."""
    numbered = outbox.numbered_tables or _undeclared(outbox)
    positions = schema.read(connection, [numbered.positions]).get(numbered.positions)
    if positions is None or not {"number", "forgotten_at"} <= positions.columns.keys():
        return []
    return [numbered.table(number) for number in reversed(numbered.readable(connection))]


def _undeclared(outbox: Outbox) -> NumberedTables:
    """Return those of an outbox that is not told to roll over, as by a command that knows no application."""
    prefix = outbox.tasks.name.removesuffix("task")
    plain = Outbox(MetaData(), prefix=prefix, schema=outbox.tasks.schema)
    return NumberedTables(plain.tasks, prefix, RollOver())


def _is_needed(one: SchemaDifference, table: Table) -> bool:
    return one.kind in _KINDS and is_ours(table.columns[str(one.name)])

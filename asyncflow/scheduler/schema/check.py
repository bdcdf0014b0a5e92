"""The look at a database's schema."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, MetaData, Table

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.schema.choose import schema_dialect_of
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.tables import inbox_table
from asyncflow.scheduler.schema import queries
from asyncflow.scheduler.schema.compare import differences
from asyncflow.scheduler.schema.difference import SchemaDifference, SchemaOperation
from asyncflow.scheduler.schema.numbered import numbered_differences
from asyncflow.scheduler.schema.plan import LARGE, plan


@dataclass(frozen=True, kw_only=True)
class SchemaReport:
    """Tell which tables were looked at, and the operations that mend what is otherwise in them."""

    dialect: str
    tables: tuple[str, ...]
    operations: tuple[SchemaOperation, ...]

    @property
    def differences(self) -> list[SchemaDifference]:
        """Return all that is otherwise."""
        return [one for operation in self.operations for one in operation.differences]


def check(engine: Engine, outbox: Outbox) -> SchemaReport:
    """Compare the tables with what this version needs; the inbox where it is declared, or there.

    Of numbered tables that are read it looks at the columns alone.

    Reads the catalogue, and of tables that differ how many rows they have, up to a number. Raises
    ConnectionSilentError, UnsupportedDatabaseError, or what the database raises.
    """
    with connected(engine) as connection:
        schema = schema_dialect_of(connection.dialect)
        *needed, inbox = tables_of(outbox)
        live = schema.read(connection, [*needed, inbox])
        if inbox in live or inbox.metadata is outbox.tasks.metadata:
            needed.append(inbox)
        operations: list[SchemaOperation] = []
        for table in needed:
            if found := differences(table, live.get(table), schema):
                rows = _rows(connection, table) if table in live and live[table].bears_name is None else 0
                operations += plan(table, live.get(table), found, schema, rows)
        for table, its, found in numbered_differences(connection, outbox, schema):
            operations += plan(table, its, found, schema, _rows(connection, table))
    return SchemaReport(
        dialect=engine.dialect.name, tables=tuple(table.fullname for table in needed), operations=tuple(operations)
    )


def _rows(connection: Connection, table: Table) -> int:
    return int(connection.execute(queries.rows(table, LARGE + 1)).scalar_one())


def tables_of(outbox: Outbox) -> list[Table]:
    """Return the outbox's tables and, last, the inbox's: the declared one, or one of its name that nobody declares."""
    tasks = outbox.tasks
    name = f"{tasks.name.removesuffix('task')}inbox"
    declared = tasks.metadata.tables.get(f"{tasks.schema}.{name}" if tasks.schema else name)
    inbox = declared if declared is not None else inbox_table(MetaData(), name, tasks.schema)
    return [*outbox.all_tables, inbox]

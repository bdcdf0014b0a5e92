"""The contract of what reads and changes the forms of tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from sqlalchemy import Column, Connection, Dialect, Index, Table
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from asyncflow.outbox.dialects.schema.live import LiveColumn, LiveIndex, LiveTable, before

Size = tuple[str, float]  # the kind of a type, and how much of it one can hold


class SchemaDialect(Protocol):
    """Read tables, and write the statements that change them; made for one connection's dialect."""

    dialect: Dialect
    engine: str | None  # that a table must have
    rebuilds: bool  # a table is made anew to change its columns, its primary key and its constraints
    tells_duration: bool  # a statement that would keep writers waiting is refused when it is asked not to

    def read(self, connection: Connection, tables: Sequence[Table]) -> Mapping[Table, LiveTable]:
        """Return those of the tables that are there."""
        ...

    def collation_of(self, column: Column[Any]) -> str | None:
        """Return the collation that a column must have; None where it is the database's own, or there is none."""
        ...

    def normal(self, type_text: str) -> str:
        """Return a type as ``read`` tells it."""
        ...

    def size_of(self, type_text: str) -> Size:
        """Return kind and size of a type as ``read`` tells it; a larger one of the same kind holds a smaller one."""
        ...

    def add_column(self, column: Column[Any]) -> list[str]:
        """Return what adds it."""
        ...

    def alter_column(self, column: Column[Any], live: LiveColumn) -> list[str]:
        """Return what makes it as it is needed."""
        ...

    def ease_column(self, table: Table, live: LiveColumn) -> list[str]:
        """Return what lets rows leave out a column that is none of ours."""
        ...

    def alter_primary_key(self, table: Table, live: LiveTable) -> list[str]:
        """Return what makes it as it is needed."""
        ...

    def alter_engine(self, table: Table) -> list[str]:
        """Return what gives it the engine that it must have."""
        ...

    def create_index(self, index: Index, live: LiveIndex | None, *, is_large: bool) -> list[str]:
        """Return what makes it, in place of one that bears its name; of a large table without a stop."""
        ...

    def drop_unique(self, table: Table, live: LiveIndex) -> list[str]:
        """Return what takes a unique index or constraint away."""
        ...

    def rebuild(self, table: Table, live: LiveTable) -> list[str]:
        """Return what makes the table anew with its rows; only where tables are rebuilt."""
        ...

    def unhurried(self, statement: str) -> str:
        """Return the statement so that it is refused, if it would keep writers waiting for long."""
        ...

    def is_hurry(self, error: Exception) -> bool:
        """Tell whether the server refused it for that."""
        ...

    def guard(self) -> list[str]:
        """Return what makes the session refuse, and not alter, a value that a change cannot keep."""
        ...


def needed_type(column: Column[Any], dialect: Dialect) -> str:
    """Return the type that a column must have, as SQLAlchemy writes it."""
    return str(column.type.compile(dialect=dialect))


def type_to_have(column: Column[Any], live: LiveColumn, schema: SchemaDialect) -> str:
    """Return the type that a column is to be given: its own, where that holds more than it has to."""
    needed = needed_type(column, schema.dialect)
    (kind, least), (found, size) = schema.size_of(schema.normal(needed)), schema.size_of(live.type)
    return live.type if kind == found and size > least else needed


def specification(column: Column[Any], dialect: Dialect) -> str:
    """Return a column as CREATE TABLE has it."""
    return str(CreateColumn(column).compile(dialect=dialect)).strip()


def added(column: Column[Any], dialect: Dialect) -> list[str]:
    """Return the changes of an ALTER TABLE that add it, one after the other, with what rows have that are there."""
    value = before(column)
    written = specification(column, dialect)
    if value is None or column.nullable:
        return [f"ADD COLUMN {written}"]
    name = listed([column.name], dialect)
    return [f"ADD COLUMN {written} DEFAULT {value}", f"ALTER COLUMN {name} DROP DEFAULT"]


def create_table(table: Table, dialect: Dialect) -> list[str]:
    """Return what creates a table with its indexes."""
    indexes = sorted(table.indexes, key=lambda one: str(one.name))
    made = [str(CreateTable(table).compile(dialect=dialect)), *(create_index(one, dialect) for one in indexes)]
    return [re.sub(r"[ \t]*\n", "\n", statement.strip()).replace("\n\t", "\n    ") for statement in made]


def create_index(index: Index, dialect: Dialect) -> str:
    """Return what creates an index."""
    return str(CreateIndex(index).compile(dialect=dialect)).strip()


def table_of(index: Index) -> Table:
    """Return the table of a declared index, which has one."""
    return cast("Table", index.table)


def named(table: Table, dialect: Dialect) -> str:
    """Return a table's name, quoted where it has to be, with its schema."""
    return str(dialect.identifier_preparer.format_table(table))


def listed(names: Sequence[str], dialect: Dialect) -> str:
    """Return names of columns, quoted where they have to be, with commas between."""
    return ", ".join(map(dialect.identifier_preparer.quote, names))

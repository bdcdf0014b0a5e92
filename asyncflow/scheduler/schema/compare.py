"""The comparison of a declared table with the one that stands in a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Column, Index, Table, UniqueConstraint

from asyncflow.outbox.dialects.schema.live import LiveColumn, LiveTable, forbids, is_ours
from asyncflow.outbox.dialects.schema.protocol import SchemaDialect, needed_type
from asyncflow.scheduler.schema.difference import DifferenceKind, SchemaDifference


def differences(table: Table, live: LiveTable | None, schema: SchemaDialect) -> list[SchemaDifference]:
    """Return what is otherwise in the database, in the order of the table's parts."""
    if live is None or live.bears_name is not None:
        found = "none" if live is None or live.bears_name is None else f"{live.bears_name} of its name"
        return [_difference(table, DifferenceKind.TABLE_MISSING, None, "the table", found)]
    return list(_Comparison(table, live, schema).all())


def is_plain(index: Index) -> bool:
    """Tell whether an index is on columns, as they are and of all rows, so that it can be compared by their names."""
    return not index.dialect_kwargs and all(isinstance(one, Column) for one in index.expressions)


def _difference(table: Table, kind: DifferenceKind, name: str | None, needed: str, found: str) -> SchemaDifference:
    return SchemaDifference(kind=kind, table=table.fullname, name=name, needed=needed, found=found)


@dataclass(frozen=True)
class _Comparison:
    table: Table
    live: LiveTable
    schema: SchemaDialect

    def all(self) -> Iterator[SchemaDifference]:
        table, live = self.table, self.live
        told = partial(_difference, table)
        if self.schema.engine and live.engine and live.engine.lower() != self.schema.engine.lower():
            yield told(DifferenceKind.ENGINE, None, self.schema.engine, live.engine)
        for column in table.columns:
            yield from self._of_column(column)
        yield from (
            told(
                DifferenceKind.REQUIRED,
                one.name,
                "NULL, or a default",
                "NOT NULL without one, in no row of asyncflow's",
            )
            for name, one in live.columns.items()
            if one.is_required and name not in table.columns
        )
        key = tuple(column.name for column in table.primary_key)
        if live.primary_key != key:
            yield told(DifferenceKind.PRIMARY_KEY, None, f"PRIMARY KEY {_list(key)}", f"{_list(live.primary_key)}")
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            yield from self._of_index(index)
        yield from self._of_uniques()

    def _of_column(self, column: Column[Any]) -> Iterator[SchemaDifference]:
        told = partial(_difference, self.table, name=column.name)
        found = self.live.columns.get(column.name)
        needed = needed_type(column, self.schema.dialect)
        if found is None:
            null = "" if column.nullable else " NOT NULL"
            yield told(kind=DifferenceKind.COLUMN_MISSING, needed=f"{needed}{null}", found="no such column")
        elif is_ours(column):
            yield from self._of_ours(column, found, needed)
        elif found.is_required and column.nullable:
            yield told(kind=DifferenceKind.GAINED_NOT_NULL, needed="NULL", found="NOT NULL")

    def _of_ours(self, column: Column[Any], found: LiveColumn, needed: str) -> Iterator[SchemaDifference]:
        told, schema = partial(_difference, self.table, name=column.name), self.schema
        (kind, least), (found_kind, size) = schema.size_of(schema.normal(needed)), schema.size_of(found.type)
        collation = schema.collation_of(column)
        if found_kind != kind or size < least:
            yield told(kind=DifferenceKind.TYPE, needed=needed, found=found.type)
        elif found.collation != collation:
            yield told(
                kind=DifferenceKind.COLLATION, needed=collation or "the database's own", found=str(found.collation)
            )
        if found.is_nullable and not column.nullable:
            yield told(kind=DifferenceKind.LOST_NOT_NULL, needed="NOT NULL", found="NULL")
        if not found.is_nullable and column.nullable:
            yield told(kind=DifferenceKind.GAINED_NOT_NULL, needed="NULL", found="NOT NULL")
        if column.nullable and found.default is not None:
            yield told(kind=DifferenceKind.DEFAULT, needed="no default", found=f"DEFAULT {found.default}")
        if found.writes_itself is not None:
            yield told(kind=DifferenceKind.WRITES_ITSELF, needed="what is written", found=found.writes_itself)
        if self.table.autoincrement_column is column and not found.counts:
            yield told(
                kind=DifferenceKind.COUNTS_NOT, needed="a number that counts by itself", found="one that does not"
            )

    def _of_index(self, index: Index) -> Iterator[SchemaDifference]:
        told = partial(_difference, self.table, name=str(index.name))
        parts = tuple(column.name for column in index.columns)
        needed = f"{'UNIQUE ' if index.unique else ''}{_list(parts)}"
        found = self.live.indexes.get(str(index.name))
        if found is None:
            yield told(kind=DifferenceKind.INDEX_MISSING, needed=needed, found="no such index")
        elif is_plain(index) and (found.fault or (found.parts, found.is_unique) != (parts, bool(index.unique))):
            yield told(kind=DifferenceKind.INDEX_DIFFERS, needed=needed, found=found.told())

    def _of_uniques(self) -> Iterator[SchemaDifference]:
        """Tell what is unique and would refuse rows, unless the application declares that."""
        table = self.table
        declared = {
            frozenset(column.name for column in one.columns)
            for one in table.constraints
            if isinstance(one, UniqueConstraint)
        }
        known = {str(index.name) for index in table.indexes}
        for name, one in self.live.indexes.items():
            if name not in known and frozenset(one.parts) not in declared and forbids(one, table):
                yield _difference(table, DifferenceKind.UNIQUE, name, "no such constraint", one.told())


def _list(names: tuple[str, ...]) -> str:
    return f"({', '.join(names)})" if names else "none"

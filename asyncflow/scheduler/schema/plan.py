"""The operations that mend a table, in the order in which they can be run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

from asyncflow.outbox.dialects.schema.live import LiveTable, before, is_ours
from asyncflow.outbox.dialects.schema.protocol import (
    SchemaDialect,
    create_index,
    create_table,
    needed_type,
    type_to_have,
)
from asyncflow.scheduler.schema import migration
from asyncflow.scheduler.schema.compare import is_plain
from asyncflow.scheduler.schema.difference import DifferenceKind, SchemaDifference, SchemaOperation

LARGE = 10_000  # rows, from which on whoever writes would notice how long a change takes
_OF_COLUMNS = (
    DifferenceKind.TYPE,
    DifferenceKind.COLLATION,
    DifferenceKind.LOST_NOT_NULL,
    DifferenceKind.GAINED_NOT_NULL,
    DifferenceKind.DEFAULT,
    DifferenceKind.COUNTS_NOT,
    DifferenceKind.WRITES_ITSELF,
)
_UNKNOWN_VALUES = (
    "rows are there, and nobody knows what {name} would be in them: add the column so that it may be NULL, fill it, "
    "and check again"
)
_CONVERTED = (
    "rows are there, and their values of {name} would become other ones, from {found} to {needed}: look at them, then "
    "run it by hand"
)
_NAME_BORNE = "{found} is there: find out who needs it, give it another name, and check again"
_NOT_OURS = "{name} is not asyncflow's: find out who needs it, and run it by hand when nobody does"


def plan(
    table: Table, live: LiveTable | None, found: Sequence[SchemaDifference], schema: SchemaDialect, rows: int
) -> list[SchemaOperation]:
    """Return what mends the differences of a table with so many ``rows``, which are counted up to LARGE + 1."""
    if live is None or live.bears_name is not None:
        sql = create_table(table, schema.dialect)
        written = migration.create_table(table) or migration.execute(sql)
        refused = None if live is None else _NAME_BORNE.format(found=found[0].found)
        return [
            SchemaOperation(
                table=table.fullname, differences=tuple(found), sql=tuple(sql), alembic=tuple(written), refused=refused
            )
        ]
    planned = _TablePlan(table, live, tuple(found), schema, rows)
    if schema.rebuilds and planned.wants_rebuild():
        return [planned.rebuild()]
    return list(planned.operations())


@dataclass(frozen=True)
class _TablePlan:
    table: Table
    live: LiveTable
    found: tuple[SchemaDifference, ...]
    schema: SchemaDialect
    rows: int

    @property
    def is_large(self) -> bool:
        return self.rows > LARGE

    def of(self, *kinds: DifferenceKind) -> list[SchemaDifference]:
        return [one for one in self.found if one.kind in kinds]

    def operations(self) -> Iterator[SchemaOperation]:
        """Give the operations: a column has its type before an index needs it, and is there before a key does."""
        steps: list[tuple[DifferenceKind, Callable[[SchemaDifference], SchemaOperation]]] = [
            (DifferenceKind.ENGINE, self._alter_engine),
            (DifferenceKind.COLUMN_MISSING, self._add_column),
            (DifferenceKind.PRIMARY_KEY, self._alter_primary_key),
        ]
        for kind, step in steps:
            yield from map(step, self.of(kind))
        for column in self.table.columns:
            if its := [one for one in self.of(*_OF_COLUMNS) if one.name == column.name]:
                yield self._alter_column(column, its)
        steps = [
            (DifferenceKind.REQUIRED, self._ease_column),
            (DifferenceKind.UNIQUE, self._drop_unique),
            (DifferenceKind.INDEX_DIFFERS, self._create_index),
            (DifferenceKind.INDEX_MISSING, self._create_index),
        ]
        for kind, step in steps:
            yield from map(step, self.of(kind))

    def wants_rebuild(self) -> bool:
        """Tell whether a difference cannot be mended in the table as it is."""
        return any(self._is_of_table(one) for one in self.found)

    def _is_of_table(self, one: SchemaDifference) -> bool:
        if one.kind is DifferenceKind.COLUMN_MISSING:
            return not self._column(one).nullable
        if one.kind is DifferenceKind.UNIQUE:
            return self.live.indexes[str(one.name)].is_constraint
        return one.kind not in (DifferenceKind.INDEX_DIFFERS, DifferenceKind.INDEX_MISSING)

    def rebuild(self) -> SchemaOperation:
        """Return the one that makes the table anew, and so mends all of it."""
        refused = [text for one in self.found if (text := self._refusal(one))]
        nulls = [str(one.name) for one in self.of(DifferenceKind.LOST_NOT_NULL)]
        return self._plain(
            list(self.found),
            self.schema.rebuild(self.table, self.live),
            refused="; ".join(refused) or None,
            keeps_waiting=True,
            without_null=tuple(nulls),
        )

    def _plain(
        self, mended: Sequence[SchemaDifference], sql: Sequence[str], alembic: Sequence[str] | None = None, **more: Any
    ) -> SchemaOperation:
        written = migration.execute(sql) if alembic is None else alembic
        return SchemaOperation(
            table=self.table.fullname,
            differences=tuple(mended),
            sql=tuple(sql),
            alembic=tuple(written),
            is_large=self.is_large,
            breaks_older=any(map(self._breaks_older, mended)),
            **more,
        )

    def _breaks_older(self, one: SchemaDifference) -> bool:
        """Tell whether who knows the table as it was is refused a row behind it."""
        if one.kind is DifferenceKind.COLUMN_MISSING:
            column = self._column(one)
            counts = column is self.table.autoincrement_column
            return not (column.nullable or counts or column.server_default is not None)
        if one.kind in (DifferenceKind.INDEX_MISSING, DifferenceKind.INDEX_DIFFERS):
            return any(index.unique for index in self.table.indexes if index.name == one.name)
        return one.kind in (DifferenceKind.PRIMARY_KEY, DifferenceKind.LOST_NOT_NULL)

    def _alter_engine(self, one: SchemaDifference) -> SchemaOperation:
        return self._plain([one], self.schema.alter_engine(self.table), keeps_waiting=True)

    def _add_column(self, one: SchemaDifference) -> SchemaOperation:
        column = self._column(one)
        sql = self.schema.add_column(column)
        return self._plain([one], sql, migration.add_column(column), refused=self._refusal(one))

    def _alter_primary_key(self, one: SchemaDifference) -> SchemaOperation:
        nulls = [key.name for key in self.table.primary_key if self._takes_null(key.name)]
        sql = self.schema.alter_primary_key(self.table, self.live)
        return self._plain([one], sql, keeps_waiting=True, without_null=tuple(nulls))

    def _takes_null(self, name: str) -> bool:
        return name in self.live.columns and self.live.columns[name].is_nullable

    def _alter_column(self, column: Column[Any], mended: list[SchemaDifference]) -> SchemaOperation:
        live = self.live.columns[column.name]
        if not is_ours(column):
            return self._plain(mended, self.schema.ease_column(self.table, live))
        kinds = {one.kind for one in mended}
        is_mysql = self.schema.tells_duration
        is_converted = self._is_converted(column)
        written = None
        is_own = type_to_have(column, live, self.schema) == needed_type(column, self.schema.dialect)
        if (
            live.writes_itself is None
            and is_own
            and (is_mysql or not (is_converted or DifferenceKind.COUNTS_NOT in kinds))
        ):
            written = migration.alter_column(column, live, is_mysql=is_mysql)
        return self._plain(
            mended,
            self.schema.alter_column(column, live),
            written,
            refused="; ".join(text for one in mended if (text := self._refusal(one))) or None,
            keeps_waiting=bool(kinds & {DifferenceKind.TYPE, DifferenceKind.COLLATION, DifferenceKind.LOST_NOT_NULL}),
            without_null=(column.name,) if DifferenceKind.LOST_NOT_NULL in kinds else (),
        )

    def _ease_column(self, one: SchemaDifference) -> SchemaOperation:
        return self._plain([one], self.schema.ease_column(self.table, self.live.columns[str(one.name)]))

    def _drop_unique(self, one: SchemaDifference) -> SchemaOperation:
        live = self.live.indexes[str(one.name)]
        return self._plain([one], self.schema.drop_unique(self.table, live), refused=self._refusal(one))

    def _create_index(self, one: SchemaDifference) -> SchemaOperation:
        live = self.live.indexes.get(str(one.name))
        index = next(index for index in self.table.indexes if index.name == one.name)
        if not is_plain(index):
            return self._plain([one], [create_index(index, self.schema.dialect)], keeps_waiting=self.schema.rebuilds)
        sql = self.schema.create_index(index, live, is_large=self.is_large)
        if any("CONCURRENTLY" in statement for statement in sql):
            return self._plain([one], sql, migration.beside_writers(sql))
        written = [migration.create_index(index)]
        if live is not None:
            written = migration.execute(sql) if live.is_constraint else [self._dropped(live.name), *written]
        return self._plain([one], sql, written, keeps_waiting=self.schema.rebuilds)

    def _dropped(self, name: str) -> str:
        return migration.drop_index(self.table, name)

    def _refusal(self, one: SchemaDifference) -> str | None:
        """Return why it is not run by itself: it could lose data, or what somebody else needs."""
        told = {"name": one.name, "found": one.found, "needed": one.needed}
        if one.kind is DifferenceKind.UNIQUE:
            return _NOT_OURS.format(**told)
        if not self.rows:
            return None
        if one.kind is DifferenceKind.COLUMN_MISSING and self._has_no_value(self._column(one)):
            return _UNKNOWN_VALUES.format(**told)
        if one.kind is DifferenceKind.TYPE and self._is_converted(self._column(one)):
            return _CONVERTED.format(**told)
        return None

    def _has_no_value(self, column: Column[Any]) -> bool:
        counts = column is self.table.autoincrement_column
        return not (column.nullable or counts or column.server_default is not None or before(column) is not None)

    def _is_converted(self, column: Column[Any]) -> bool:
        """Tell whether values would become those of another kind of type."""
        schema = self.schema
        needed = schema.normal(needed_type(column, schema.dialect))
        return schema.size_of(self.live.columns[column.name].type)[0] != schema.size_of(needed)[0]

    def _column(self, one: SchemaDifference) -> Column[Any]:
        return self.table.columns[str(one.name)]

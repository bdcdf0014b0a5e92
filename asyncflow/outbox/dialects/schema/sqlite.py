"""The forms of SQLite's tables, which it lets nobody change but by making them anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Index, Table, text
from sqlalchemy.schema import CreateTable

from asyncflow.outbox.dialects.schema.definitions import (
    Definitions,
    is_primary_key,
    is_unique,
    names_in,
    without_key,
    without_not_null,
)
from asyncflow.outbox.dialects.schema.live import LiveColumn, LiveIndex, LiveTable, before, forbids, is_ours
from asyncflow.outbox.dialects.schema.protocol import Size, create_index, listed, named, specification, table_of
from asyncflow.outbox.dialects.schema.sizes import ranks, size_of

_COLUMNS = text('SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(:name, :place)')
_INDEXES = text(
    'SELECT l.name, l."unique", l.origin, l.partial, i.name, i."desc", i.coll '
    "FROM pragma_index_list(:name, :place) l JOIN pragma_index_xinfo(l.name, :place) i WHERE i.key "
    "ORDER BY l.name, i.seqno"
)
_RANKED = {**ranks(("smallint", "integer", "bigint")), **dict.fromkeys(("text", "varchar"), ("varchar", 2.0**32))}
_BOUNDED: dict[str, Size] = {"varchar": ("varchar", 0)}
_COMPUTED = (2, 3)  # hidden, as the pragma tells it


class SQLiteSchema:
    """Read pragmas and the text of CREATE TABLE; change by a new table that takes over the rows."""

    engine: str | None = None
    rebuilds = True
    tells_duration = False

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def read(self, connection: Connection, tables: Sequence[Table]) -> Mapping[Table, LiveTable]:
        """Return those of the tables that are there."""
        found = {table: self._read(connection, table) for table in tables}
        return {table: live for table, live in found.items() if live is not None}

    def _read(self, connection: Connection, table: Table) -> LiveTable | None:
        place = {"name": table.name, "place": table.schema or "main"}
        master = f"{listed([table.schema or 'main'], self.dialect)}.sqlite_master"
        kept = text(f"SELECT type, name, sql FROM {master} WHERE lower(tbl_name) = lower(:name) AND sql IS NOT NULL")
        texts = {(kind, name): sql for kind, name, sql in connection.execute(kept, {"name": table.name})}
        sql = next((sql for (kind, _), sql in texts.items() if kind == "table"), None)
        if sql is None:
            view = LiveTable(columns={}, primary_key=(), indexes={}, bears_name="a view")
            return view if any(kind == "view" for kind, _ in texts) else None
        definitions, rows = Definitions.of(sql), connection.execute(_COLUMNS, place).all()
        counts = "AUTOINCREMENT" in sql.upper()
        keys = sorted((row.pk, row.name) for row in rows if row.pk)
        columns = [_column(self, definitions, row, counts=counts, is_alone=len(keys) == 1) for row in rows]
        indexes = _indexes(connection.execute(_INDEXES, place).all(), texts)
        ours = {str(index.name) for index in table.indexes}
        dropped = ours | {one.name for one in indexes.values() if forbids(one, table)}
        return LiveTable(
            columns={one.name: one for one in columns},
            primary_key=tuple(name for _, name in keys),
            indexes=indexes,
            sql=sql,
            others=tuple(sql for (kind, name), sql in texts.items() if kind != "table" and name not in dropped),
        )

    def collation_of(self, column: Column[Any]) -> str | None:
        """Return None, which is BINARY."""
        return None

    def normal(self, type_text: str) -> str:
        """Write it in small letters, and integers by one name."""
        plain = " ".join(type_text.lower().split())
        return "integer" if plain == "int" else plain

    def size_of(self, type_text: str) -> Size:
        """Know texts by what they are declared for, which it does not look at itself, and integers."""
        return size_of(type_text, _RANKED, _BOUNDED)

    def add_column(self, column: Column[Any]) -> list[str]:
        """Return an ALTER TABLE."""
        return [f"ALTER TABLE {named(column.table, self.dialect)} ADD COLUMN {specification(column, self.dialect)}"]

    def alter_column(self, column: Column[Any], live: LiveColumn) -> list[str]:
        """Return nothing: the table is rebuilt."""
        return []

    def ease_column(self, table: Table, live: LiveColumn) -> list[str]:
        """Return nothing: the table is rebuilt."""
        return []

    def alter_primary_key(self, table: Table, live: LiveTable) -> list[str]:
        """Return nothing: the table is rebuilt."""
        return []

    def alter_engine(self, table: Table) -> list[str]:
        """Return nothing: it has none."""
        return []

    def create_index(self, index: Index, live: LiveIndex | None, *, is_large: bool) -> list[str]:
        """Return what makes it, after one of its name is gone."""
        dropped = [] if live is None else self.drop_unique(table_of(index), live)
        return [*dropped, create_index(index, self.dialect)]

    def drop_unique(self, table: Table, live: LiveIndex) -> list[str]:
        """Return a DROP INDEX; a constraint goes with a rebuild."""
        place = f"{listed([table.schema], self.dialect)}." if table.schema else ""
        return [f"DROP INDEX {place}{listed([live.name], self.dialect)}"]

    def rebuild(self, table: Table, live: LiveTable) -> list[str]:
        """Return what makes the table anew: columns and constraints of the application's own are kept as written."""
        new = f"{table.name}_new"
        old_name, new_name = named(table, self.dialect), self._place(table, new)
        needed, there = Definitions.of(str(CreateTable(table).compile(dialect=self.dialect))), Definitions.of(live.sql)
        columns = {
            name: self._kept(table, name, there, live) if name in there.columns and not _is_ours(table, name) else text
            for name, text in {**there.columns, **needed.columns}.items()
        }
        constraints = [one for one in there.constraints if not is_primary_key(one) and not _is_dropped(one, table)]
        parts = [*columns.values(), *needed.constraints, *constraints]
        copied = [one for one in live.columns.values() if not one.is_computed or _is_ours(table, one.name)]
        filled = {one.name: value for one in table.columns if one.name not in live.columns and (value := before(one))}
        kept = [one.name for one in copied]
        names, values = (
            listed([*kept, *filled], self.dialect),
            ", ".join([listed(kept, self.dialect), *filled.values()]),
        )
        indexes = sorted(table.indexes, key=lambda one: str(one.name))
        return [
            f"CREATE TABLE {new_name} (\n    " + ",\n    ".join(parts) + f"\n) {there.options}".rstrip(),
            f"INSERT INTO {new_name} ({names}) SELECT {values} FROM {old_name}",
            f"DROP TABLE {old_name}",
            f"ALTER TABLE {new_name} RENAME TO {listed([table.name], self.dialect)}",
            *(create_index(index, self.dialect) for index in indexes),
            *live.others,
        ]

    def _place(self, table: Table, name: str) -> str:
        return (
            f"{listed([table.schema], self.dialect)}.{listed([name], self.dialect)}"
            if table.schema
            else (listed([name], self.dialect))
        )

    def _kept(self, table: Table, name: str, there: Definitions, live: LiveTable) -> str:
        """Return a column of the application's as it is; without its NOT NULL where rows of ours leave it out."""
        definition = without_key(there.columns[name])
        is_left_out = name not in table.columns or table.columns[name].nullable
        return without_not_null(definition) if is_left_out and live.columns[name].is_required else definition

    def unhurried(self, statement: str) -> str:
        """Return the statement: it does not tell."""
        return statement

    def is_hurry(self, error: Exception) -> bool:
        """Tell that it does not tell."""
        return False

    def guard(self) -> list[str]:
        """Let a table that others refer to be made anew, and wait a second for its lock; it takes no other limits."""
        return ["PRAGMA foreign_keys = OFF", "PRAGMA busy_timeout = 1000"]


def _column(schema: SQLiteSchema, definitions: Definitions, row: Any, *, counts: bool, is_alone: bool) -> LiveColumn:
    default = row.dflt_value
    kind = schema.normal(row.type)
    return LiveColumn(
        name=row.name,
        type=kind,
        # A number in the place of the rowid is never NULL; in any other key SQLite takes NULL.
        is_nullable=not row.notnull and not (row.pk and is_alone and kind == "integer"),
        definition=definitions.columns.get(row.name, row.name),
        default=None if default is None or default.upper() == "NULL" else default,
        counts=bool(row.pk) and counts,
        is_computed=row.hidden in _COMPUTED,
        writes_itself="GENERATED ALWAYS" if row.hidden in _COMPUTED else None,
        collation=definitions.collation_of(row.name),
    )


def _indexes(rows: Sequence[Any], texts: Mapping[tuple[str, str], str]) -> dict[str, LiveIndex]:
    found: dict[str, LiveIndex] = {}
    for name, unique, origin, is_partial, column, is_descending, collation in rows:
        order = f" COLLATE {collation}" if origin == "c" and collation not in (None, "BINARY") else ""
        expression = texts.get(("index", name), "").partition("(")[2]
        part = f"{column or f'({expression}'}{order}{' DESC' if is_descending else ''}"
        before = found[name].parts if name in found else ()
        if origin != "pk":
            found[name] = LiveIndex(
                name=name,
                parts=(*before, part),
                is_unique=bool(unique),
                fault="of a part of the rows" if is_partial else None,
                is_constraint=origin == "u",
            )
    return found


def _is_ours(table: Table, name: str) -> bool:
    return name in table.columns and is_ours(table.columns[name])


def _is_dropped(constraint: str, table: Table) -> bool:
    """Tell whether a constraint forbids rows of ours."""
    if not is_unique(constraint):
        return False
    columns = {column.name for column in table.columns} & names_in(constraint)
    index = LiveIndex(name="", parts=tuple(columns), is_unique=True)
    return forbids(index, table)

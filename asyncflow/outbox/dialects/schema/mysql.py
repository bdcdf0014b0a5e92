"""The forms of MySQL's and MariaDB's tables."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Index, String, Table, bindparam, text

from asyncflow.driver_errors import number_of
from asyncflow.outbox.dialects.schema.live import LiveColumn, LiveIndex, LiveTable
from asyncflow.outbox.dialects.schema.protocol import (
    Size,
    added,
    listed,
    named,
    needed_type,
    specification,
    table_of,
    type_to_have,
)
from asyncflow.outbox.dialects.schema.sizes import ranks, size_of

# Apart: joined, the server opens all tables of all databases.
_HERE = "WHERE table_schema = COALESCE(:place, DATABASE()) AND table_name IN :names"
_TABLES = f"SELECT table_name, engine, table_type FROM information_schema.tables {_HERE}"
_OTHERS = {"VIEW": "a view", "SEQUENCE": "a sequence"}
_COLUMNS = (
    "SELECT table_name, column_name, column_type, is_nullable, column_default, extra, character_set_name, "
    f"collation_name, column_comment FROM information_schema.columns {_HERE} ORDER BY table_name, ordinal_position"
)
# All of them: what tells that an index is not used has another name on each.
_INDEXES = f"SELECT * FROM information_schema.statistics {_HERE} ORDER BY table_name, index_name, seq_in_index"
_IGNORED = "which the server is told to ignore"
_NOT_WITHOUT_LOCK = (1845, 1846)
_COLLATE = re.compile(r" (?:character set|collate) \S+| /\* mariadb-5\.3 \*/")
_WRITES_ITSELF = re.compile(r"ON UPDATE \S+|(VIRTUAL|STORED|PERSISTENT)( GENERATED)?")
_DISPLAY_WIDTH = re.compile(r"\b((?:tiny|small|medium|big)?int)\(\d+\)")
_SAME = {"integer": "int", "bool": "tinyint", "boolean": "tinyint", "double precision": "double"}
_RANKED = ranks(
    ("tinyint", "smallint", "mediumint", "int", "bigint"),
    ("tinytext", "text", "mediumtext", "longtext"),
    ("tinyblob", "blob", "mediumblob", "longblob"),
    ("float", "double"),
)
_BOUNDED: dict[str, Size] = {"varchar": ("varchar", 0), "datetime": ("datetime", 0)}


class MySQLSchema:
    """Read the information schema; change by ALTER TABLE, which the server does without a stop where it can."""

    engine: str | None = "InnoDB"
    rebuilds = False
    tells_duration = True

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def read(self, connection: Connection, tables: Sequence[Table]) -> Mapping[Table, LiveTable]:
        """Return those of the tables that are there, three questions for each schema."""
        found: dict[Table, LiveTable] = {}
        kept = _kept_names(connection)
        for place, group in groupby(sorted(tables, key=lambda one: one.schema or ""), lambda one: one.schema):
            its = {kept(table.name): table for table in group}
            names = [table.name for table in its.values()]
            columns = _by_table(_ask(connection, _COLUMNS, place, names), kept)
            indexes = _by_table(_ask(connection, _INDEXES, place, names), kept)
            for row in _ask(connection, _TABLES, place, names):
                name = kept(row["table_name"])
                live = self._table(row["engine"], columns.get(name, []), indexes.get(name, []))
                if name in its:
                    found[its[name]] = replace(live, bears_name=_OTHERS.get(row["table_type"]))
        return found

    def _table(self, engine: str, columns: list[dict[str, Any]], indexes: list[dict[str, Any]]) -> LiveTable:
        grouped = {name: list(rows) for name, rows in groupby(indexes, lambda row: str(row["index_name"]))}
        primary = grouped.pop("PRIMARY", [])
        return LiveTable(
            columns={one.name: one for one in map(self._column, columns)},
            primary_key=tuple(map(_part, primary)),
            indexes={name: _index(name, rows) for name, rows in grouped.items()},
            engine=engine,
        )

    def _column(self, row: dict[str, Any]) -> LiveColumn:
        extra, default = str(row["extra"]).upper(), row["column_default"]
        if default == "NULL" and getattr(self.dialect, "is_mariadb", False):
            default = None
        text_kind = ""
        if row["collation_name"]:
            text_kind = f" CHARACTER SET {row['character_set_name']} COLLATE {row['collation_name']}"
        comment = str(row["column_comment"] or "").replace("\\", "\\\\").replace("'", "''")
        return LiveColumn(
            name=row["column_name"],
            type=self.normal(row["column_type"]),
            is_nullable=row["is_nullable"] == "YES",
            definition=f"{row['column_type']}{text_kind} NULL" + (f" COMMENT '{comment}'" if comment else ""),
            default=None if default is None else str(default),
            counts="AUTO_INCREMENT" in extra,
            is_computed=bool(re.search(r"VIRTUAL|STORED|PERSISTENT", extra)),
            writes_itself=found[0] if (found := _WRITES_ITSELF.search(extra)) else None,
            collation=row["collation_name"],
        )

    def collation_of(self, column: Column[Any]) -> str | None:
        """Return that of its type."""
        found = re.search(r"COLLATE (\w+)", needed_type(column, self.dialect))
        return found[1] if found else None

    def normal(self, type_text: str) -> str:
        """Leave out the width by which numbers are shown, and the character set."""
        plain = _DISPLAY_WIDTH.sub(r"\1", _COLLATE.sub("", type_text.lower()))
        return _SAME.get(plain, plain)

    def size_of(self, type_text: str) -> Size:
        """Know integers, texts, bytes, and times with fractions."""
        return size_of(type_text, _RANKED, _BOUNDED)

    def add_column(self, column: Column[Any]) -> list[str]:
        """Return an ALTER TABLE, and one more that takes the default away by which rows got a value."""
        return [self._alter(column.table, change) for change in added(column, self.dialect)]

    def alter_column(self, column: Column[Any], live: LiveColumn) -> list[str]:
        """Return one MODIFY, which says all of the column."""
        kind, collation = type_to_have(column, live, self), self.collation_of(column)
        if collation and "COLLATE" not in kind:
            kind += f" CHARACTER SET {collation.partition('_')[0]} COLLATE {collation}"
        counts = " AUTO_INCREMENT" if column.table.autoincrement_column is column else ""
        null = "NULL" if column.nullable else "NOT NULL"
        if live.writes_itself and "VIRTUAL" in live.writes_itself:  # which is nowhere kept, and so cannot be modified
            dropped = f"DROP COLUMN {listed([column.name], self.dialect)}"
            return [self._alter(column.table, f"{dropped}, ADD COLUMN {specification(column, self.dialect)}")]
        return [self._alter(column.table, f"MODIFY {listed([column.name], self.dialect)} {kind} {null}{counts}")]

    def ease_column(self, table: Table, live: LiveColumn) -> list[str]:
        """Return a MODIFY that says again what the column is."""
        return [self._alter(table, f"MODIFY {listed([live.name], self.dialect)} {live.definition}")]

    def alter_primary_key(self, table: Table, live: LiveTable) -> list[str]:
        """Return one ALTER TABLE: a column that counts by itself is to have a key at any moment."""
        needed = [key.name for key in table.primary_key]
        changes = ["DROP PRIMARY KEY"] if live.primary_key else []
        changes.append(f"ADD PRIMARY KEY ({listed(needed, self.dialect)})")
        counting = [one.name for one in live.columns.values() if one.counts and one.name != needed[0]]
        changes += [f"ADD KEY ({listed([name], self.dialect)})" for name in counting]
        return [self._alter(table, ", ".join(changes))]

    def alter_engine(self, table: Table) -> list[str]:
        """Return an ALTER TABLE."""
        return [self._alter(table, f"ENGINE={self.engine}")]

    def create_index(self, index: Index, live: LiveIndex | None, *, is_large: bool) -> list[str]:
        """Return one ALTER TABLE, which puts it in the place of another."""
        name = listed([str(index.name)], self.dialect)
        parts = tuple(column.name for column in index.columns)
        if live is not None and live.fault == _IGNORED and (live.parts, live.is_unique) == (parts, bool(index.unique)):
            used = "NOT IGNORED" if getattr(self.dialect, "is_mariadb", False) else "VISIBLE"
            return [self._alter(table_of(index), f"ALTER INDEX {name} {used}")]
        added = f"ADD {'UNIQUE ' if index.unique else ''}INDEX {name} ({listed(parts, self.dialect)})"
        dropped = "" if live is None else f"DROP INDEX {name}, "
        return [self._alter(table_of(index), dropped + added)]

    def drop_unique(self, table: Table, live: LiveIndex) -> list[str]:
        """Return an ALTER TABLE."""
        return [self._alter(table, f"DROP INDEX {listed([live.name], self.dialect)}")]

    def rebuild(self, table: Table, live: LiveTable) -> list[str]:
        """Return nothing: the server does that by itself."""
        return []

    def unhurried(self, statement: str) -> str:
        """Ask for no lock."""
        return f"{statement}, LOCK=NONE" if statement.startswith("ALTER TABLE") else statement

    def is_hurry(self, error: Exception) -> bool:
        """Know its answer to that."""
        return number_of(getattr(error, "orig", None)) in _NOT_WITHOUT_LOCK

    def guard(self) -> list[str]:
        """Be strict: else it puts zeros and cut texts in the place of what does not fit."""
        return ["SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_ALL_TABLES')"]

    def _alter(self, table: Table, change: str) -> str:
        return f"ALTER TABLE {named(table, self.dialect)} {change}"


def _ask(connection: Connection, statement: str, place: str | None, names: Iterable[str]) -> list[dict[str, Any]]:
    asked = text(statement).bindparams(
        bindparam("place", place, type_=String()), bindparam("names", list(names), expanding=True, type_=String())
    )
    found = connection.execute(asked)
    keys = [key.lower() for key in found.keys()]  # noqa: SIM118 - a result's, which are no dict's
    return [dict(zip(keys, row, strict=True)) for row in found]


def _kept_names(connection: Connection) -> Callable[[str], str]:
    """Return how the server keeps names of tables; its catalogue takes any case for any other, and it may not."""
    keeps_case = int(connection.execute(text("SELECT @@lower_case_table_names")).scalar_one()) == 0
    return str if keeps_case else str.lower


def _by_table(rows: Iterable[dict[str, Any]], kept: Callable[[str], str]) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)  # rows of two cases of a name come in one order
    for row in rows:
        found[kept(str(row["table_name"]))].append(row)
    return found


def _index(name: str, rows: list[dict[str, Any]]) -> LiveIndex:
    first = rows[0]
    is_unused = first.get("ignored") == "YES" or first.get("is_visible") == "NO"
    fault = _IGNORED if is_unused else None
    if first["index_type"] != "BTREE":
        fault = f"which is {first['index_type']}"
    return LiveIndex(name=name, parts=tuple(map(_part, rows)), is_unique=not int(first["non_unique"]), fault=fault)


def _part(row: dict[str, Any]) -> str:
    if row["column_name"] is None:
        return f"({row.get('expression')})"
    length = "" if row["sub_part"] is None else f"({row['sub_part']})"
    return f"{row['column_name']}{length}{' DESC' if row['collation'] == 'D' else ''}"

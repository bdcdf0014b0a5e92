"""PostgreSQL's catalogue: its tables in the words of all databases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, String, Table, bindparam, text

from asyncflow.outbox.dialects.schema.live import LiveColumn, LiveIndex, LiveTable

_HERE = (
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
    "AND c.relname IN :names AND CASE WHEN CAST(:place AS text) IS NULL THEN pg_table_is_visible(c.oid) "
    "ELSE n.nspname = CAST(:place AS text) END"
)
_COLUMNS = (
    "SELECT c.relname, c.relpersistence, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
    "pg_get_expr(d.adbin, d.adrelid), "
    "{computed}, {identity}, pg_get_serial_sequence(CAST(CAST(c.oid AS regclass) AS text), a.attname), "
    "CASE WHEN a.attcollation <> t.typcollation THEN o.collname END "
    + _HERE.format(
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation o ON o.oid = a.attcollation "
        "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum"
    )
    + " ORDER BY c.relname, a.attnum"
)
# What an index only includes has no options.
_INDEXES = (
    "SELECT c.relname, x.relname, i.indisprimary, i.indisunique, i.indisvalid, i.indpred IS NOT NULL, m.amname, "
    "s.conname, COALESCE(a.attname, pg_get_indexdef(i.indexrelid, CAST(k.place AS int), true)), "
    "i.indoption[k.place - 1], p.opcname LIKE '%pattern_ops' OR i.indcollation[k.place - 1] <> a.attcollation "
    + _HERE.format(
        "JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam "
        "CROSS JOIN LATERAL unnest(CAST(i.indkey AS int2[])) WITH ORDINALITY AS k(number, place) "
        "JOIN pg_opclass p ON p.oid = i.indclass[k.place - 1] "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number "
        "LEFT JOIN pg_constraint s ON s.conindid = i.indexrelid AND s.conrelid = c.oid AND s.contype IN ('p', 'u', 'x')"
    )
    + " AND i.indoption[k.place - 1] IS NOT NULL ORDER BY c.relname, x.relname, k.place"
)
OWN_COLLATION = "default"
_OTHERS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
LOGGED = "LOGGED"  # else a crash of the server empties the table


def read(connection: Connection, tables: Sequence[Table]) -> Mapping[Table, LiveTable]:
    """Return those of the tables that are there, two questions for each schema."""
    found: dict[Table, LiveTable] = {}
    version = tuple(connection.dialect.server_version_info or ())
    columns_text = _COLUMNS.format(
        computed="a.attgenerated <> ''" if version >= (12,) else "false",
        identity="a.attidentity <> ''" if version >= (10,) else "false",
    )
    for place, group in groupby(sorted(tables, key=lambda one: one.schema or ""), lambda one: one.schema):
        its = {table.name: table for table in group}
        columns: defaultdict[str, list[LiveColumn]] = defaultdict(list)
        logged: dict[str, str] = {}
        others: dict[str, str | None] = {}
        for name, persistence, kind, *row in _ask(connection, columns_text, place, its):
            columns[name].append(_column(*row))
            logged[name] = LOGGED if persistence == "p" else "UNLOGGED"
            others[name] = _OTHERS.get(kind)
        indexes: defaultdict[str, list[Any]] = defaultdict(list)
        for name, *row in _ask(connection, _INDEXES, place, its):
            indexes[name].append(row)
        found.update(
            {its[name]: _table(one, indexes[name], logged[name], others[name]) for name, one in columns.items()}
        )
    return found


def _ask(connection: Connection, statement: str, place: str | None, names: Mapping[str, Any]) -> Sequence[Any]:
    asked = text(statement).bindparams(
        bindparam("place", place, type_=String()), bindparam("names", list(names), expanding=True, type_=String())
    )
    return connection.execute(asked).all()


def _column(
    name: str,
    kind: str,
    is_required: bool,
    default: str | None,
    computed: bool,
    identity: bool,
    sequence: str | None,
    collation: str | None,
) -> LiveColumn:
    draws = identity or str(default).startswith("nextval(")
    return LiveColumn(
        name=name,
        type=kind,
        is_nullable=not is_required,
        definition=kind,
        default=None if computed or str(default).startswith("NULL::") else default,
        counts=sequence is not None and draws,
        is_computed=computed,
        writes_itself="GENERATED ALWAYS" if computed else None,
        sequence=sequence,
        collation=None if collation == OWN_COLLATION else collation,
    )


def _table(columns: list[LiveColumn], rows: list[Any], engine: str, bears_name: str | None) -> LiveTable:
    indexes = {name: _index(name, list(its)) for name, its in groupby(rows, lambda row: str(row[0]))}
    primary = next((row for row in rows if row[1]), None)
    key = indexes.pop(primary[0]).parts if primary else ()
    return LiveTable(
        columns={one.name: one for one in columns},
        primary_key=key,
        indexes=indexes,
        primary_name=primary[6] if primary else None,
        engine=engine,
        bears_name=bears_name,
    )


def _index(name: str, rows: list[Any]) -> LiveIndex:
    _, _, is_unique, is_valid, is_partial, method, constraint, *_ = rows[0]
    faults = {
        "which is not valid: it was not made to the end": not is_valid,
        "of a part of the rows": is_partial,
        f"which is {method}": method != "btree",
        "in another order than the texts have": any(row[9] for row in rows),
    }
    parts = (f"{row[7]}{' DESC' if row[8] else ''}" for row in rows)
    return LiveIndex(
        name=name,
        parts=tuple(parts),
        is_unique=is_unique,
        fault=next((fault for fault, holds in faults.items() if holds), None),
        is_constraint=constraint is not None,
    )

"""A look at the database's tables before the first task is written or fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Engine, Inspector, Table, inspect

from asyncflow.errors import IncompatibleVersionError, TablesMissingError
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected

NOT_THERE = "is not there"


def require_tables(engine: Engine, outbox: Outbox, *, writes: bool = False) -> None:
    """Raise TablesMissingError, naming tables, columns or indexes that the database lacks; ConnectionSilentError.

    For who ``writes`` with the application's own tables: IncompatibleVersionError for a column that is not known here,
    and must have a value.
    """
    with connected(engine) as connection:
        inspector = inspect(connection)
        for schema, tables in groupby(sorted(outbox.all_tables, key=_schema), _schema):
            _require_in(inspector, schema or None, list(tables), writes=writes)


def _schema(table: Table) -> str:
    return table.schema or ""


def _require_in(inspector: Inspector, schema: str | None, tables: list[Table], *, writes: bool) -> None:
    for one in _compared(inspector, schema, tables):
        if not one.is_there:
            raise TablesMissingError(
                f"the database has no table {one.table.fullname}; run `asyncflow init-db --database-url ...`, "
                f"metadata.create_all(engine), or your Alembic migration"
            )
        if one.missing:
            raise TablesMissingError(
                f"the table {one.table.fullname} lacks {', '.join(one.missing)}; bring it up to date with Alembic, "
                f"or by `asyncflow schema upgrade`; `asyncflow schema check` tells all that differs"
            )
        if writes and one.unknown:
            raise IncompatibleVersionError(
                f"in the table {one.table.fullname} {', '.join(one.unknown)} must have a value, and this version does "
                f"not know it: the tables are of a later version, which is to be started here; or, of a column of "
                f"yours, let it be NULL or have a default"
            )


def table_differences(engine: Engine, outbox: Outbox) -> list[tuple[str, str]]:
    """Return the names of the tables that are not as this version needs them, each with what differs."""
    with connected(engine) as connection:
        inspector = inspect(connection)
        return [
            (one.table.fullname, difference)
            for schema, tables in groupby(sorted(outbox.all_tables, key=_schema), _schema)
            for one in _compared(inspector, schema or None, list(tables))
            if (difference := one.difference())
        ]


class _Compared(NamedTuple):
    """Hold a table with what of it is missing in the database, and what its other indexes are on.

    ``unknown`` are columns that are not declared, and that no row of ours would have a value for.
    """

    table: Table
    is_there: bool
    missing: list[str]
    others: dict[str, list[str]]
    unknown: list[str]

    def difference(self) -> str | None:
        """Return what differs; None if nothing does."""
        if not self.is_there:
            return f"The table {self.table.fullname} {NOT_THERE}"
        if self.missing:
            return f"The table {self.table.fullname} lacks {', '.join(self.missing)}"
        told = [f"{name} is on ({', '.join(columns)})" for name, columns in self.others.items()]
        return f"Of the table {self.table.fullname} the index {'; '.join(told)}" if told else None


def _compared(inspector: Inspector, schema: str | None, tables: list[Table]) -> Iterator[_Compared]:
    names = [table.name for table in tables]
    columns = inspector.get_multi_columns(schema, filter_names=names)
    indexes = inspector.get_multi_indexes(schema, filter_names=names)
    for table in tables:
        place = (schema, table.name)
        found = indexes.get(place, ())
        missing = _absent(table.columns, columns.get(place, ())) + _absent(table.indexes, found)
        unknown = [str(one["name"]) for one in columns.get(place, ()) if _is_unknown(table, one)]
        yield _Compared(table, place in columns, sorted(missing), _others(table, found), unknown)


def _is_unknown(table: Table, column: Any) -> bool:
    """Tell whether a row without the column would be refused; one that is made of others fills itself."""
    fills_itself = any(column.get(kind) for kind in ("computed", "identity")) or column.get("autoincrement") is True
    has_value = column["nullable"] or column.get("default") is not None or fills_itself
    return not has_value and column["name"] not in table.columns


def _others(table: Table, found: Iterable[Any]) -> dict[str, list[str]]:
    """Return the indexes that bear the name of one of ours and are on other columns, with these."""
    wanted = {str(index.name): [column.name for column in index.columns] for index in table.indexes}
    known = {one["name"]: list(one["column_names"]) for one in found}
    return {name: known[name] for name in wanted.keys() & known.keys() if known[name] != wanted[name]}


def _absent(wanted: Iterable[Any], found: Iterable[Any]) -> list[str]:
    known = {one["name"] for one in found}
    return [str(one.name) for one in wanted if one.name not in known]

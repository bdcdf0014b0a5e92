"""A look at the database's tables before the first task is written or fetched."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from sqlalchemy import Engine, Inspector, Table, inspect

from asyncflow.errors import TablesMissingError
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.connecting import connected


def require_tables(engine: Engine, outbox: Outbox) -> None:
    """Raise TablesMissingError, naming tables, columns or indexes that the database lacks; ConnectionSilentError."""
    with connected(engine) as connection:
        inspector = inspect(connection)
        for schema, tables in groupby(sorted(outbox.tables, key=_schema), _schema):
            _require_in(inspector, schema or None, list(tables))


def _schema(table: Table) -> str:
    return table.schema or ""


def _require_in(inspector: Inspector, schema: str | None, tables: list[Table]) -> None:
    names = [table.name for table in tables]
    columns = inspector.get_multi_columns(schema, filter_names=names)
    indexes = inspector.get_multi_indexes(schema, filter_names=names)
    for table in tables:
        place = (schema, table.name)
        if place not in columns:
            raise TablesMissingError(
                f"the database has no table {table.fullname}; run `asyncflow init-db --database-url ...`, "
                f"metadata.create_all(engine), or your Alembic migration"
            )
        missing = _absent(table.columns, columns[place]) + _absent(table.indexes, indexes.get(place, ()))
        if missing:
            raise TablesMissingError(
                f"the table {table.fullname} lacks {', '.join(sorted(missing))}; bring it up to date with Alembic"
            )


def _absent(wanted: Iterable[Any], found: Iterable[Any]) -> list[str]:
    known = {one["name"] for one in found}
    return [str(one.name) for one in wanted if one.name not in known]

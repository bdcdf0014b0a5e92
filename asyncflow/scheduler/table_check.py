"""A look at the database's tables before the first task is fetched."""

from __future__ import annotations

from sqlalchemy import Engine, inspect

from asyncflow.errors import TablesMissingError
from asyncflow.outbox import Outbox


def require_tables(engine: Engine, outbox: Outbox) -> None:
    """Raise TablesMissingError, naming tables, columns or indexes that the database lacks."""
    inspector = inspect(engine)
    for table in outbox.tables:
        if not inspector.has_table(table.name, schema=table.schema):
            raise TablesMissingError(
                f"the database has no table {table.fullname}; run `asyncflow init-db --database-url ...`, "
                f"metadata.create_all(engine), or your Alembic migration"
            )
        found = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
        missing = [column.name for column in table.columns if column.name not in found]
        indexes = {index["name"] for index in inspector.get_indexes(table.name, schema=table.schema)}
        missing += [str(index.name) for index in table.indexes if index.name not in indexes]
        if missing:
            raise TablesMissingError(
                f"the table {table.fullname} lacks {', '.join(sorted(missing))}; bring it up to date with Alembic"
            )

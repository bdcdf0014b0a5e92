"""A look at the database's tables before the first task is written or fetched."""

from __future__ import annotations

from sqlalchemy import Engine, inspect

from asyncflow.errors import ShardCountMismatchError, TablesMissingError
from asyncflow.outbox import Outbox
from asyncflow.scheduler import ownership_queries
from asyncflow.scheduler.relay import OUTBOX_JOB


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


def recorded_shard_count(engine: Engine, outbox: Outbox) -> int | None:
    """Return the number of shards that schedulers share out; None if none has started yet."""
    if not inspect(engine).has_table(outbox.shards.name, schema=outbox.shards.schema):
        return None
    with engine.connect() as connection:
        shards = connection.execute(ownership_queries.recorded_shards(outbox.shards), {"its_job": OUTBOX_JOB}).all()
    return len(shards) or None


def require_shard_count(engine: Engine, outbox: Outbox) -> None:
    """Raise ShardCountMismatchError if tasks would be written to shards that no scheduler reads."""
    recorded = recorded_shard_count(engine, outbox)
    if recorded not in (None, outbox.shard_count):
        raise ShardCountMismatchError(
            f"shard_count is {outbox.shard_count}, but {outbox.shards.fullname} records {recorded}; "
            f"use {recorded} in every process, or change it by `asyncflow reshard`"
        )

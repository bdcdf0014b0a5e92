"""The number of shards as the database records it."""

from __future__ import annotations

from sqlalchemy import Engine, inspect

from asyncflow.errors import ShardCountMismatchError
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.scheduler.cluster import queries as ownership_queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB


def recorded_shard_count(engine: Engine, outbox: Outbox) -> int | None:
    """Return the number of shards that schedulers share out; None if none has started yet."""
    with connected(engine) as connection:
        if not inspect(connection).has_table(outbox.shards.name, schema=outbox.shards.schema):
            return None
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

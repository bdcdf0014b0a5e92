"""The number of shards as the database records it."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, Table, inspect

from asyncflow.errors import ShardCountMismatchError
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.scheduler.cluster import queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.connections.again import run_briefly


def recorded_shard_count(engine: Engine, outbox: Outbox) -> int | None:
    """Return the number of shards that is recorded; None if none is yet."""
    with connected(engine) as connection:
        if not inspect(connection).has_table(outbox.shards.name, schema=outbox.shards.schema):
            return None
        return _recorded(connection, outbox.shards, OUTBOX_JOB) or None


def require_shard_count(engine: Engine, outbox: Outbox) -> None:
    """Raise ShardCountMismatchError if tasks would be written to shards that no scheduler reads."""
    recorded = recorded_shard_count(engine, outbox)
    if recorded not in (None, outbox.shard_count):
        raise ShardCountMismatchError(
            f"shard_count is {outbox.shard_count}, but {outbox.shards.fullname} records {recorded}; "
            f"use {recorded} in every process, or change it by `asyncflow reshard`"
        )


def record_shard_count(engine: Engine, outbox: Outbox) -> None:
    """Record the outbox's shards unless they are: a scheduler that starts later with another count tells of it.

    Raises ShardCountMismatchError if others are recorded.
    """
    run_briefly(engine, lambda connection: record_shards(connection, outbox.shards, OUTBOX_JOB, outbox.shard_count))


def record_shards(connection: Connection, shards: Table, job: str, expected: int) -> None:
    """Record the shards of a job unless they are; raises ShardCountMismatchError if they are others."""
    recorded = _recorded(connection, shards, job)
    if recorded == 0:
        # Somebody else may do the same at this moment. What was there before ours tells another count, even a
        # smaller one, which the rows that we added would hide.
        new = queries.insert_shards(connection, shards, job, expected)
        recorded = _recorded(connection, shards, job) - (new if new < expected else 0)
    if recorded != expected:
        raise ShardCountMismatchError(
            f"shard_count of {job!r} is {expected}, but {shards.fullname} records {recorded}; "
            f"use {recorded} in every process. To change it, stop them all: run `asyncflow reshard` for the "
            f"outbox, or start a job of your own once with overwrite=True"
        )


def _recorded(connection: Connection, shards: Table, job: str) -> int:
    return len(connection.execute(queries.recorded_shards(shards), {"its_job": job}).all())

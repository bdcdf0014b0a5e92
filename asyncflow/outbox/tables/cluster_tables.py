"""The tables by which instances know of each other, and of the jobs that they share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, SmallInteger, Table

from asyncflow.outbox.clock import DatabaseTime
from asyncflow.outbox.tables.column_types import TRANSACTIONAL, any_text, exact, older_rows
from asyncflow.outbox.tables.lengths import JOB_LENGTH, OWNER_LENGTH


def shard_table(metadata: MetaData, name: str = "asyncflow_shard", schema: str | None = None) -> Table:
    """Add the shard table: who owns each shard of each job, until when, and by ``epoch`` how often that changed.

    ``acquired_at`` is when the lease was written last: so it also tells for how long, whatever became of the clock.

    ``disabled``, ``misfire`` and ``running`` are those of the ElasticJob sharding item.
    """
    return Table(
        name,
        metadata,
        Column("job", exact(JOB_LENGTH), primary_key=True),
        Column("shard", SmallInteger, primary_key=True, autoincrement=False),
        Column("owner", exact(OWNER_LENGTH), nullable=True),
        Column("epoch", BigInteger, nullable=False, info=older_rows("0")),
        Column("lease_until", DatabaseTime(), nullable=True),
        Column("acquired_at", DatabaseTime(), nullable=True),
        Column("disabled", Boolean, nullable=False, info=older_rows("false")),
        Column("misfire", Boolean, nullable=False, info=older_rows("false")),
        Column("running", Boolean, nullable=False, info=older_rows("false")),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def instance_table(metadata: MetaData, name: str = "asyncflow_instance", schema: str | None = None) -> Table:
    """Add the instance table: which running processes share each job, each by a lease that it renews.

    ``joined_at`` is when the lease was written last. ``state`` is what the process tells of itself, as JSON: in one row
    of each, NULL in the others and in those of versions that tell nothing.
    """
    return Table(
        name,
        metadata,
        Column("job", exact(JOB_LENGTH), primary_key=True),
        Column("instance", exact(OWNER_LENGTH), primary_key=True),
        Column("joined_at", DatabaseTime(), nullable=False),
        Column("lease_until", DatabaseTime(), nullable=False),
        Column("leaving", Boolean, nullable=False, info=older_rows("false")),
        Column("state", any_text(), nullable=True),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def job_table(metadata: MetaData, name: str = "asyncflow_job", schema: str | None = None) -> Table:
    """Add the job table: the recorded configuration of each job, and whether it is switched off."""
    return Table(
        name,
        metadata,
        Column("name", exact(JOB_LENGTH), primary_key=True),
        Column("config", any_text(), nullable=False),
        Column("sharding_total_count", Integer, nullable=False),
        Column("disabled", Boolean, nullable=False, info=older_rows("false")),
        Column("modified_at", DatabaseTime(), nullable=False),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )

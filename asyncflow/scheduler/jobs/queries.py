"""The jobs' statements, each a named function."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Delete, Select, Table, Update, and_, bindparam, delete, select, update
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import NO_TIME

# -- the recorded configuration --------------------------------------------------------------------------


def read_job(jobs: Table) -> Select[Any]:
    """Read a job's recorded configuration."""
    return select(jobs.c.config, jobs.c.sharding_total_count, jobs.c.disabled).where(_named(jobs))


def read_disabled(jobs: Table) -> Select[Any]:
    """Read whether a job is switched off."""
    return select(jobs.c.disabled).where(_named(jobs))


def overwrite_job(jobs: Table) -> Update:
    """Replace a job's recorded configuration."""
    return (
        update(jobs)
        .where(_named(jobs))
        .values(
            config=bindparam("its_config"),
            sharding_total_count=bindparam("its_count"),
            disabled=bindparam("its_disabled"),
            modified_at=NO_TIME,
        )
    )


def _named(jobs: Table) -> ColumnElement[bool]:
    return jobs.c.name == bindparam("its_name")


# -- the marks of single items ---------------------------------------------------------------------------


def read_marks(shards: Table) -> Select[Any]:
    """Read what is marked of a job's items."""
    columns = (shards.c.shard, shards.c.epoch, shards.c.disabled, shards.c.running, shards.c.misfire)
    return select(*columns).where(shards.c.job == bindparam("its_job"))


def mark(shards: Table, **marks: bool) -> Update:
    """Write marks of one item, if it still has this owner in this epoch."""
    return update(shards).where(_still_owned(shards)).values(**marks)


def forget_items(shards: Table) -> Delete:
    """Delete the items of a job from number ``its_count`` on."""
    its = (shards.c.job == bindparam("its_job"), shards.c.shard >= bindparam("its_count"))
    return delete(shards).where(*its)


def _still_owned(shards: Table) -> ColumnElement[bool]:
    return and_(
        shards.c.job == bindparam("its_job"),
        shards.c.shard == bindparam("its_item"),
        shards.c.owner == bindparam("its_owner"),
        shards.c.epoch == bindparam("its_epoch"),
    )

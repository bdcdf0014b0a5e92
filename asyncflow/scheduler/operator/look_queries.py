"""The statements about instances, shards, jobs, periodic tasks, and tasks along time, that a person looks at."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, Table, Update, bindparam, select, update

from asyncflow.outbox.clock import NO_TIME, database_now, seconds_until


@lru_cache(maxsize=32)
def shards(table: Table) -> Select[Any]:
    """Read of the shards of ``its_job`` number, owner, epoch, seconds of the lease left, and the marks."""
    s = table.c
    left = seconds_until(s.lease_until).label("seconds_left")
    columns = (s.shard, s.owner, s.epoch, left, s.disabled, s.running, s.misfire)
    return select(*columns).where(s.job == bindparam("its_job", type_=s.job.type)).order_by(s.shard)


@lru_cache(maxsize=32)
def jobs(table: Table) -> Select[Any]:
    """Read every job."""
    j = table.c
    return select(j.name, j.config, j.sharding_total_count, j.disabled, j.modified_at).order_by(j.name)


@lru_cache(maxsize=32)
def disable_job(table: Table) -> Update:
    """Switch ``its_name`` off or on."""
    off = bindparam("is_off", type_=table.c.disabled.type)
    named = table.c.name == bindparam("its_name", type_=table.c.name.type)
    return update(table).where(named).values(disabled=off, modified_at=NO_TIME)


@lru_cache(maxsize=32)
def periodic(table: Table) -> Select[Any]:
    """Read every periodic task, and the database's clock."""
    p = table.c
    columns = (p.name, p.cron, p.timezone, p.next_due, p.last_due, database_now().label("now"))
    return select(*columns).order_by(p.next_due, p.name)


@lru_cache(maxsize=32)
def disable_item(table: Table) -> Update:
    """Switch the item ``its_item`` of ``its_job`` off or on."""
    s = table.c
    off = bindparam("is_off", type_=s.disabled.type)
    its = (s.job == bindparam("its_job", type_=s.job.type), s.shard == bindparam("its_item", type_=Integer()))
    return update(table).where(*its).values(disabled=off)

"""The statements of a change of the number of shards, each a named function."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Delete, Integer, Select, Table, Update, bindparam, delete, select, update


def read_page(tasks: Table, after: Any, limit: int) -> Select[Any]:
    """Read a page of all tasks in order of their ids, behind ``after``."""
    t = tasks.c
    page = select(t.id, t.task_type, t.task_key, t.shard).order_by(t.id).limit(limit)
    return page if after is None else page.where(t.id > after)


def move(tasks: Table) -> Update:
    """Put tasks into ``its_shard``."""
    ids = bindparam("ids", expanding=True, type_=tasks.c.id.type)
    return update(tasks).where(tasks.c.id.in_(ids)).values(shard=bindparam("its_shard", type_=Integer()))


def read_parked(parked: Table) -> Select[Any]:
    """Read the parked keys."""
    return select(parked.c.task_type, parked.c.task_key)


def move_parked(parked: Table) -> Update:
    """Put a parked key into ``its_shard``."""
    its = (parked.c.task_type == bindparam("its_type"), parked.c.task_key == bindparam("its_key"))
    return update(parked).where(*its).values(shard=bindparam("its_shard", type_=Integer()))


def forget_shards(shards: Table) -> Delete:
    """Delete the shards of a job."""
    return delete(shards).where(shards.c.job == bindparam("its_job"))

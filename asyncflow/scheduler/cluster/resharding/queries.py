"""The statements of a reshard, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Delete, Integer, Select, Table, Update, bindparam, delete, select, update
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import Instant
from asyncflow.outbox.dialects.raw_ids import raw_id
from asyncflow.outbox.look_up.queries import WALK


@lru_cache(maxsize=32)
def read_unsettled(tasks: Table, behind: int | None) -> Select[Any]:
    """Read up to ``most`` tasks of ``its_status``, in the order of the index.

    ``behind``: those that share the first ``behind`` columns of WALK with a place, and lie behind it in the next one.
    Each is a single range of the index; one condition with ORs is none to any planner.
    """
    t = tasks.c
    wanted: list[ColumnElement[bool]] = [t.status == bindparam("its_status", type_=Integer())]
    if behind is not None:
        at = [bindparam(f"at_{name}", type_=_AT_TYPES.get(name, t[name].type)) for name in WALK]
        wanted += [t[name] == at[number] for number, name in enumerate(WALK[:behind])]
        wanted.append(t[WALK[behind]] > at[behind])
    columns = (t.id, raw_id(t.id).label("raw_id"), t.task_type, t.task_key, t.shard, t.order_time)
    order = [t[name] for name in WALK[behind or 0 :]]
    return select(*columns).where(*wanted).order_by(*order).limit(bindparam("most", type_=Integer()))


_AT_TYPES: dict[str, Any] = {"order_time": Instant()}  # a moment that was read, not an offset from now


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

"""The statements about rows that stand aside for no reason, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Delete,
    Integer,
    Select,
    String,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import Instant, database_now
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_named, raw_id
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.queries import MOST_AHEAD, has_status, in_time

_ITS_TYPE: Any = bindparam("its_type", type_=String())


def _is_aside(tasks: Table) -> ColumnElement[bool]:
    """Tell which rows were set aside; one that was published with a delay of days is not fetched before, either."""
    t = tasks.c
    return and_(t.order_time > in_time(MOST_AHEAD), t.order_time > t.next_select_time)


def _wanted(name: str, kind: Any) -> Any:
    return bindparam(name, expanding=True, type_=kind)


def _limit() -> Any:
    return bindparam("limit", type_=Integer())


@lru_cache(maxsize=32)
def parked_of_types(parked: Table) -> Select[Any]:
    """Read type, key and shard of up to ``limit`` parked keys of ``types`` in ``shards``."""
    p = parked.c
    wanted = p.task_type.in_(_wanted("types", p.task_type.type)), p.shard.in_(_wanted("shards", Integer()))
    return select(p.task_type, p.task_key, p.shard).where(*wanted).limit(_limit())


@lru_cache(maxsize=32)
def aside_of_key(parked: Table, tasks: Table) -> Select[Any]:
    """Read raw ids of up to ``limit`` rows of a parked key that stand aside."""
    t, p = tasks.c, parked.c
    its = and_(t.task_type == p.task_type, t.task_key == p.task_key, t.created_at >= p.since)
    return (
        select(raw_id(t.id))
        .select_from(parked.join(tasks, its))
        .where(*_its_key(parked), has_status(tasks, Status.PENDING), _is_aside(tasks))
        .limit(_limit())
    )


@lru_cache(maxsize=32)
def aside_of_nobody(parked: Table, tasks: Table) -> Select[Any]:
    """Read raw ids of up to ``limit`` rows of ``types`` in ``shards`` that wait for a key which is not parked.

    They stand aside for it, or wait for their retry as its first; what is to be delayed is left.
    """
    t, p = tasks.c, parked.c
    its = exists(select(p.task_key).where(p.task_type == t.task_type, p.task_key == t.task_key).correlate(tasks))
    return (
        select(raw_id(t.id))
        .where(
            t.status == int(Status.PENDING),
            t.task_type.in_(_wanted("types", t.task_type.type)),
            t.shard.in_(_wanted("shards", Integer())),
            t.order_time > database_now(),
            or_(t.order_time > t.next_select_time, t.retry_count > 0),
            t.order_time > t.created_at,
            ~its,
        )
        .limit(_limit())
    )


@lru_cache(maxsize=256)
def first_of_lane(tasks: Table, shard: int, rows: int) -> Select[Any]:
    """Read shard, key and ``is_early`` of the first rows of ``its_type`` in a shard; others may be joined to it."""
    t = tasks.c
    lane = t.status == int(Status.PENDING), t.task_type == _ITS_TYPE, t.shard == shard
    return select(t.shard, t.task_key, _is_early(tasks)).where(*lane).order_by(t.order_time, t.id).limit(rows)


@lru_cache(maxsize=32)
def of_lane(tasks: Table, *, behind: bool) -> Select[Any]:
    """Read the first ``limit`` rows of ``its_type`` in ``its_shard``, or those ``behind`` one: what tells their place.

    ``is_untimely``: it is due, or soon, and not in its turn; what was set aside or is to wait for days is left.
    """
    t = tasks.c
    wanted = [t.status == int(Status.PENDING), t.task_type == _ITS_TYPE]
    wanted.append(t.shard == bindparam("its_shard", type_=Integer()))
    if behind:
        time, task_id = bindparam("at_time", type_=Instant()), bindparam("at_id", type_=t.id.type)
        wanted += [t.order_time >= time, or_(t.order_time > time, t.id > task_id)]
    untimely = and_(t.order_time != t.created_at, t.order_time <= in_time(MOST_AHEAD)).label("is_untimely")
    columns = (t.id, raw_id(t.id).label("raw_id"), t.task_type, t.task_key, t.shard, t.order_time)
    rows = select(*columns, _is_early(tasks), untimely).where(*wanted)
    return rows.order_by(t.order_time, t.id).limit(_limit())


def _is_early(tasks: Table) -> ColumnElement[bool]:
    """Tell which rows go ahead of when they were written, as no task of an ordered type may."""
    return (tasks.c.order_time < tasks.c.created_at).label("is_early")


@lru_cache(maxsize=32)
def put_back(tasks: Table) -> Update:
    """Let rows that stand aside be due when they were."""
    t = tasks.c
    due = case((t.next_select_time > database_now(), t.next_select_time), else_=t.created_at)
    return (
        by_primary_key(update(tasks))
        .where(is_named(t.id), has_status(tasks, Status.PENDING), _is_aside(tasks))
        .values(order_time=due)
    )


@lru_cache(maxsize=32)
def put_back_in_order(tasks: Table) -> Update:
    """Let rows stand where their turns are, those as well that wait for a retry."""
    t = tasks.c
    return (
        by_primary_key(update(tasks))
        .where(is_named(t.id), has_status(tasks, Status.PENDING))
        .values(order_time=t.created_at)
    )


@lru_cache(maxsize=32)
def release(parked: Table) -> Delete:
    """Let a key's rows go with all others again."""
    return delete(parked).where(*_its_key(parked))


def _its_key(parked: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    p = parked.c
    return p.task_type == bindparam("its_type", type_=String()), p.task_key == bindparam("its_key", type_=String())

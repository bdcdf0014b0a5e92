"""The statements about parked keys, and about what stands behind them, each a named function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Delete,
    Insert,
    Integer,
    Select,
    String,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import Instant, seconds_until
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_named, raw_id
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import TaskId
from asyncflow.scheduler.relay.queries import compiled_on_ids, pending_literally, run_on_ids
from asyncflow.scheduler.table.queries import ASIDE, MOST_AHEAD, has_status, in_time


def _its_key(parked: Table) -> ColumnElement[bool]:
    return and_(parked.c.task_type == bindparam("its_type"), parked.c.task_key == bindparam("its_key"))


@lru_cache(maxsize=32)
def read_parked(parked: Table) -> Select[Any]:
    """Read the parked keys of ``shards``: type, key, shard, seconds until due, None for a blocked one."""
    p = parked.c
    wanted = p.shard.in_(bindparam("shards", expanding=True, type_=Integer()))
    return select(p.task_type, p.task_key, p.shard, seconds_until(p.due)).where(wanted)


@lru_cache(maxsize=32)
def read_keys(parked: Table) -> Select[Any]:
    """Read type and key of parked keys of some ``types`` and ``keys``."""
    p = parked.c
    of_types = p.task_type.in_(bindparam("types", expanding=True, type_=p.task_type.type))
    return select(p.task_type, p.task_key).where(of_types, p.task_key.in_(_keys(parked)))


@lru_cache(maxsize=32)
def read_begins(parked: Table) -> Select[Any]:
    """Read type, key and begin of parked keys of some ``types`` and ``keys``, and 0."""
    return read_keys(parked).add_columns(parked.c.since, literal_column("0"))


@lru_cache(maxsize=32)
def read_begins_and_turns(parked: Table, tasks: Table) -> CompoundSelect[Any]:
    """Read what ``read_begins`` does; and type, key and turn of the tasks of ``ids``, and 1."""
    t = tasks.c
    turns = by_primary_key(select(t.task_type, t.task_key, t.created_at, literal_column("1")).where(is_named(t.id)))
    return union_all(read_begins(parked), turns)


@lru_cache(maxsize=32)
def lock_keys(parked: Table, *, skip_locked: bool) -> Select[Any]:
    """Lock parked keys of some ``types`` and ``keys``, waiting for those that others have locked, or not; read them."""
    return by_primary_key(read_keys(parked).with_for_update(skip_locked=skip_locked))


@lru_cache(maxsize=32)
def read_keys_with_rows_aside(parked: Table, tasks: Table) -> Select[Any]:
    """Read type and key of those parked keys of some ``types`` and ``keys`` that have pending rows set aside.

    The first such row is asked for, along the index of keys. Of EXISTS PostgreSQL makes a join, and where some key has
    very many rows it reads the whole table for that.
    """
    t, p = tasks.c, parked.c
    its = (t.task_key == p.task_key, t.task_type == p.task_type, t.created_at >= p.since)
    aside = select(t.id).where(*its, has_status(tasks, Status.PENDING), ~_not_aside(tasks)).correlate(parked)
    first = aside.order_by(t.created_at).limit(1).scalar_subquery()
    return read_keys(parked).where(first.is_not(None))


def _not_aside(tasks: Table) -> ColumnElement[bool]:
    return tasks.c.order_time <= in_time(MOST_AHEAD)


def _keys(parked: Table) -> Any:
    return bindparam("keys", expanding=True, type_=parked.c.task_key.type)


@lru_cache(maxsize=32)
def read_unblocked(parked: Table, tasks: Table) -> Select[Any]:
    """Read the blocked keys of ``shards`` whose dead letter is none any more, or is gone: type, key, seconds until due.

    The seconds, None without a row, are until its next_select_time, for its order_time may have been set aside.
    """
    p = parked.c
    wanted = p.shard.in_(bindparam("shards", expanding=True, type_=Integer()))
    blocking = parked.outerjoin(tasks, tasks.c.id == p.blocked_by)
    is_over = or_(tasks.c.status.is_(None), tasks.c.status != int(Status.FAILED))
    due = seconds_until(tasks.c.next_select_time)
    return select(p.task_type, p.task_key, due).select_from(blocking).where(wanted, p.due.is_(None), is_over)


@lru_cache(maxsize=32)
def read_key(tasks: Table) -> Select[Any]:
    """Read up to ``limit`` pending rows of one key from its ``begin`` on, in the order of their enqueueing.

    Columns as ``Task`` has them.
    """
    t = tasks.c
    return (
        select(raw_id(t.id), *_columns(tasks))
        .where(*_from_its_begin(tasks))
        .order_by(t.created_at, t.id)
        .limit(bindparam("limit", type_=Integer()))
    )


@lru_cache(maxsize=32)
def read_in_the_way(tasks: Table) -> Select[Any]:
    """Read id and shard of the first ``limit`` pending rows of one key from its ``begin`` on that are not set aside."""
    t = tasks.c
    return (
        select(raw_id(t.id), t.shard)
        .where(*_from_its_begin(tasks), _not_aside(tasks))
        .order_by(t.created_at)
        .limit(bindparam("limit", type_=Integer()))
    )


def _from_its_begin(tasks: Table) -> tuple[ColumnElement[bool], ...]:
    """Tell which rows are of a key, and pending, and not before the time at which it begins.

    That is a value: in a join, or below a query, the databases may begin at the key's first row of all, and walk over
    what is settled, in each round.
    """
    t = tasks.c
    its_type, its_key = bindparam("its_type", type_=t.task_type.type), bindparam("its_key", type_=t.task_key.type)
    is_later = t.created_at >= bindparam("begin", type_=Instant())
    return t.task_key == its_key, t.task_type == its_type, is_later, has_status(tasks, Status.PENDING)


@lru_cache(maxsize=32)
def find_past(tasks: Table) -> Select[Any]:
    """Find the first ``limit`` pending rows of a lane that are not set aside, and of none of the ``keys``: id and key.

    The rows of these keys are walked over, so no column is read that may be large.
    """
    t = tasks.c
    keys = bindparam("keys", expanding=True, type_=t.task_key.type)
    return (
        select(raw_id(t.id), t.task_key)
        .where(
            t.status == int(Status.PENDING),
            t.task_type == bindparam("its_type", type_=String()),
            t.shard == bindparam("its_shard", type_=Integer()),
            _not_aside(tasks),
            t.task_key.not_in(keys),
        )
        .order_by(t.order_time, t.id)
        .limit(bindparam("limit", type_=Integer()))
    )


@lru_cache(maxsize=32)
def read_found(tasks: Table) -> Select[Any]:
    """Read those rows of ``ids`` that are pending and not set aside, in no order; columns as ``Task`` has them."""
    found = by_primary_key(select(raw_id(tasks.c.id), *_columns(tasks)))
    return found.where(is_named(tasks.c.id), has_status(tasks, Status.PENDING), _not_aside(tasks))


@lru_cache(maxsize=32)
def overtaken(tasks: Table) -> Select[Any]:
    """Read those of ``ids`` that have a line in their log, and of whose keys a later one was sent.

    Nothing but a replay lets one wait behind those that went: what was never tried is not asked about, for of a key
    with a long backlog all of that would be walked over.
    """
    t, later = tasks.c, tasks.alias("later")
    its = (later.c.task_key == t.task_key, later.c.task_type == t.task_type, later.c.created_at >= t.created_at)
    is_behind = or_(later.c.created_at > t.created_at, later.c.id > t.id)  # those of a bulk share a turn
    was_sent = exists(select(later.c.id).where(*its, is_behind, later.c.status == int(Status.SUCCESS)).correlate(tasks))
    return by_primary_key(select(raw_id(t.id)).where(is_named(t.id), t.schedule_log.is_not(None), was_sent))


def _columns(tasks: Table) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of a ``Task`` that follow its id."""
    t = tasks.c
    return t.task_type, t.shard, t.task_key, t.headers, t.payload, t.retry_count, t.max_retries


@lru_cache(maxsize=32)
def park(parked: Table, tasks: Table) -> Insert:
    """Park the key of the task ``first``, to be tried again after ``delay``."""
    t, p = tasks.c, parked.c
    delay = bindparam("delay", type_=p.due.type)
    row = select(t.task_type, t.task_key, t.shard, t.created_at, delay, null()).where(
        t.id == bindparam("first", type_=TaskId())
    )
    return insert(parked).from_select([p.task_type, p.task_key, p.shard, p.since, p.due, p.blocked_by], row)


@lru_cache(maxsize=32)
def postpone(parked: Table) -> Update:
    """Let a parked key be tried again after ``delay``."""
    delay = bindparam("delay", type_=parked.c.due.type)
    return update(parked).where(_its_key(parked)).values(due=delay, blocked_by=null())


@lru_cache(maxsize=32)
def block(parked: Table) -> Update:
    """Let a parked key wait for its dead letter, ``first``."""
    first = bindparam("first", type_=TaskId())
    return update(parked).where(_its_key(parked)).values(due=null(), blocked_by=first)


@lru_cache(maxsize=32)
def release(parked: Table) -> Delete:
    """Let a key's tasks go with all others again."""
    return delete(parked).where(_its_key(parked))


def set_aside(connection: Connection, tasks: Table, raw_ids: Sequence[Any]) -> None:
    """Take pending rows of parked keys out of the pages' way: they are read by their keys."""
    run_on_ids(connection, _set_aside(tasks, connection.dialect), raw_ids)


@lru_cache(maxsize=32)
def _set_aside(tasks: Table, dialect: Any) -> str:
    values = {"order_time": in_time(ASIDE)}
    return compiled_on_ids(by_primary_key(update(tasks)).where(*pending_literally(tasks)).values(values), dialect)


@lru_cache(maxsize=32)
def begin_later(parked: Table, tasks: Table) -> Update:
    """Let a parked key begin at its earliest pending row from its ``begin`` on: past what is settled."""
    t = tasks.c
    earliest = select(t.created_at).where(*_from_its_begin(tasks)).order_by(t.created_at).limit(1)
    since = func.coalesce(earliest.scalar_subquery(), parked.c.since)
    return update(parked).where(_its_key(parked)).values(since=since)


@lru_cache(maxsize=32)
def begin_earlier(parked: Table, tasks: Table) -> Update:
    """Let parked keys, of ``types`` and ``keys``, reach back to rows of theirs that were committed late, of ``ids``."""
    t, p = tasks.c, parked.c
    its = (is_named(t.id), t.task_type == p.task_type, t.task_key == p.task_key)
    earliest = select(func.min(t.created_at)).where(*its).correlate(parked).scalar_subquery()
    is_earlier = exists(select(t.id).where(*its, t.created_at < p.since).correlate(parked))
    named = p.task_type.in_(bindparam("types", expanding=True, type_=p.task_type.type)), p.task_key.in_(_keys(parked))
    return by_primary_key(update(parked)).where(*named, is_earlier).values(since=earliest)

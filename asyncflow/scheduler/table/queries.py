"""The statements about rows of the task table that all rooms share, each a named function."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Delete,
    Insert,
    Integer,
    Select,
    String,
    Table,
    Text,
    Update,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import after_now, database_now
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_named, raw_id
from asyncflow.outbox.tables import SCHEDULE_LOG_LENGTH, TaskId

_MICROSECOND = timedelta(microseconds=1)
ASIDE = timedelta(days=1)  # how long a row that waits behind its key's first is out of the pages' way
MOST_AHEAD = ASIDE / 2  # of the database's clock, which was set back, what is due and not set aside may be


def read_clock() -> Select[Any]:
    """Read the database's clock."""
    return select(database_now())


@lru_cache(maxsize=32)
def facts(tasks: Table) -> Select[Any]:
    """Read what is told of the outcome of rows, with the database's time."""
    t = tasks.c
    columns = (raw_id(t.id), t.id, t.task_type, t.task_key, t.retry_count, t.created_at, t.headers, t.schedule_log)
    return by_primary_key(select(*columns).where(is_named(t.id))).add_columns(database_now().label("now"))


def in_time(time: timedelta) -> ColumnElement[Any]:
    """Return the moment that comes so long after the database's now."""
    return after_now(literal_column(str(time // _MICROSECOND), BigInteger()))


def has_status(tasks: Table, status: int) -> ColumnElement[bool]:
    """Tell which of some rows, named by their ids, have a status.

    PostgreSQL has no index for IS NOT DISTINCT FROM. With ``=``, and with statistics from before a backlog, it would
    walk over all rows of the status to find a thousand ids: a quarter of a second among 20,000 rows.
    """
    return tasks.c.status.is_not_distinct_from(literal_column(str(int(status)), Integer()))


def logged(tasks: Table) -> ColumnElement[str]:
    """Return the log with a new line before the older ones, cut to its bound."""
    line = bindparam("line", type_=String())
    return func.substr(line + func.coalesce(tasks.c.schedule_log, ""), 1, SCHEDULE_LOG_LENGTH, type_=String())


@lru_cache(maxsize=32)
def exclude_writers(shards: Table) -> Update:
    """Change no row, yet keep other writers out until the transaction ends, where rows cannot be locked.

    SQLite knows no FOR SHARE; it takes its one write lock when an UPDATE begins, whatever it finds.
    """
    return update(shards).where(shards.c.shard < 0).values(epoch=shards.c.epoch)


@lru_cache(maxsize=32)
def delete_in_status(tasks: Table, status: int) -> Delete:
    """Delete tasks by their ``ids``, if they are still in ``status``."""
    return by_primary_key(delete(tasks).where(is_named(tasks.c.id), has_status(tasks, status)))


def move(tasks: Table) -> Update:
    """Put rows into ``its_shard``."""
    moved = update(tasks).where(is_named(tasks.c.id)).values(shard=bindparam("its_shard", type_=Integer()))
    return by_primary_key(moved)


@lru_cache(maxsize=32)
def standing(tasks: Table) -> Select[Any]:
    """Read raw id, status and count of retries of rows."""
    return select(raw_id(tasks.c.id), tasks.c.status, tasks.c.retry_count).where(is_named(tasks.c.id))


@lru_cache(maxsize=32)
def lock_free(tasks: Table, *, skip_locked: bool) -> Select[Any]:
    """Lock the rows in ``its_status``, waiting for those that others have locked, or not; read their raw ids."""
    rows = select(raw_id(tasks.c.id)).where(is_named(tasks.c.id), _is_in_its_status(tasks))
    return by_primary_key(rows.with_for_update(skip_locked=skip_locked))


@lru_cache(maxsize=32)
def in_status(tasks: Table) -> Select[Any]:
    """Read the raw ids of those of the rows that are in ``its_status``, as it is committed."""
    return select(raw_id(tasks.c.id)).where(is_named(tasks.c.id), _is_in_its_status(tasks))


def _is_in_its_status(tasks: Table) -> ColumnElement[bool]:
    return tasks.c.status.is_not_distinct_from(bindparam("its_status", type_=Integer()))


_ID: Any = bindparam("its_id", type_=TaskId())


@lru_cache(maxsize=32)
def replace(contexts: Table) -> Update:
    """Write the context of a task that has one here."""
    return update(contexts).where(contexts.c.task_id == _ID).values(context=bindparam("its_text", type_=Text()))


@lru_cache(maxsize=32)
def add(contexts: Table) -> Insert:
    """Write the context of a task that has none here."""
    return insert(contexts).values(task_id=_ID, context=bindparam("its_text", type_=Text()))


@lru_cache(maxsize=32)
def with_contexts(contexts: Table) -> Select[Any]:
    """Read the raw ids of those of the tasks that have a context here."""
    return select(raw_id(contexts.c.task_id)).where(is_named(contexts.c.task_id))


@lru_cache(maxsize=32)
def lock_contexts(contexts: Table, *, skip_locked: bool) -> Select[Any]:
    """Lock the contexts of tasks, waiting for those that others have locked, or not; read the tasks' raw ids."""
    return by_primary_key(with_contexts(contexts).with_for_update(skip_locked=skip_locked))


@lru_cache(maxsize=32)
def forget(contexts: Table, tasks: Table) -> Delete:
    """Delete the contexts of those of the tasks that are there no more."""
    is_there = exists(select(tasks.c.id).where(tasks.c.id == contexts.c.task_id).correlate(contexts))
    return by_primary_key(delete(contexts).where(is_named(contexts.c.task_id), ~is_there))

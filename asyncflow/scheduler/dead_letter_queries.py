"""The statements about tasks that a person looks at or changes, each a named function."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
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
    delete,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import Instant, database_now
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import TaskId
from asyncflow.scheduler.context_queries import context_of
from asyncflow.scheduler.queries import has_status, logged
from asyncflow.scheduler.raw_ids import raw_id

_NO_TIME = timedelta(0)
_UNTIL: Any = bindparam("until", type_=Instant())


def now() -> Select[Any]:
    """Read the database's clock."""
    return select(database_now())


def _behind(time: Any, task_id: Any) -> ColumnElement[bool]:
    after: Any = bindparam("after_time", type_=Instant())
    # Not a comparison of rows, for which MySQL and SQLite use less of the index.
    return and_(time >= after, or_(time > after, task_id > bindparam("after_id", type_=TaskId())))


@lru_cache(maxsize=64)
def lane_page(tasks: Table, status: int, behind: bool, by_enqueue: bool) -> Select[Any]:
    """Read (time, id) of rows of a (task type, shard), by order_time and id, ``behind`` a row or from the first.

    None that came after ``until``: that were enqueued later, or else were settled later.
    """
    t = tasks.c
    wanted = [
        t.status == status,
        t.task_type == bindparam("its_type", type_=String()),
        t.shard == bindparam("its_shard", type_=Integer()),
        (t.created_at if by_enqueue else t.order_time) <= _UNTIL,
    ]
    if behind:
        wanted.append(_behind(t.order_time, t.id))
    limit = bindparam("limit", type_=Integer())
    return select(t.order_time.label("time"), t.id).where(*wanted).order_by(t.order_time, t.id).limit(limit)


@lru_cache(maxsize=64)
def key_page(tasks: Table, status: int, of_type: bool, first: bool = False) -> Select[Any]:
    """Read (time, id) of rows of a key, by created_at and id, behind a row or from the ``first``."""
    t = tasks.c
    settled = [t.order_time <= _UNTIL] if status != int(Status.PENDING) else []
    wanted = [t.task_key == bindparam("its_key", type_=String()), t.status == status, t.created_at <= _UNTIL, *settled]
    if of_type:
        wanted.append(t.task_type == bindparam("its_type", type_=String()))
    if not first:
        wanted.append(_behind(t.created_at, t.id))
    limit = bindparam("limit", type_=Integer())
    return select(t.created_at.label("time"), t.id).where(*wanted).order_by(t.created_at, t.id).limit(limit)


def _among(tasks: Table, ids: Iterable[Any], statuses: Iterable[int]) -> ColumnElement[bool]:
    return and_(tasks.c.id.in_(list(ids)), or_(*(has_status(tasks, status) for status in statuses)))


def summaries(tasks: Table, ids: Iterable[Any]) -> Select[Any]:
    """Read what a list shows of rows."""
    t = tasks.c
    columns = (t.id, t.task_type, t.task_key, t.retry_count, t.modified_at, t.schedule_log)
    return select(*columns).where(t.id.in_(list(ids)))


def whole(tasks: Table, contexts: Table, task_id: Any) -> Select[Any]:
    """Read a whole row, with its context wherever that is."""
    columns = [column for column in tasks.c if column.name != "context"]
    return select(*columns, context_of(tasks, contexts)).where(tasks.c.id == task_id)


def statuses_of(tasks: Table, ids: Iterable[Any]) -> Select[Any]:
    """Read the statuses of rows."""
    return select(tasks.c.id, tasks.c.status).where(tasks.c.id.in_(list(ids)))


def lock(tasks: Table, ids: Iterable[Any], statuses: Iterable[int]) -> Select[Any]:
    """Read and hold the rows among ``ids`` that are in one of the statuses, in one order for all who do."""
    t = tasks.c
    columns = (t.id, t.task_type, t.task_key, t.status, raw_id(t.id).label("raw_id"))
    held = select(*columns).where(_among(tasks, ids, statuses))
    return held.order_by(t.id).with_for_update()


def replay(tasks: Table, ids: Iterable[Any]) -> Update:
    """Let dead letters be due after ``delay``, with all their retries; a stage and its context stay."""
    delay: Any = bindparam("delay", type_=tasks.c.order_time.type)
    return (
        update(tasks)
        .where(_among(tasks, ids, [int(Status.FAILED)]))
        .values(
            status=int(Status.PENDING),
            retry_count=0,
            claim_token=null(),
            owner=null(),
            order_time=delay,
            next_select_time=delay,
            schedule_log=logged(tasks),
            modified_at=_NO_TIME,
        )
    )


def cancel(tasks: Table, ids: Iterable[Any]) -> Update:
    """Make rows that wait or have failed CANCELLED; order_time becomes the time of settling, for the cleaner."""
    return (
        update(tasks)
        .where(_among(tasks, ids, [int(Status.PENDING), int(Status.FAILED)]))
        .values(status=int(Status.CANCELLED), order_time=_NO_TIME, schedule_log=logged(tasks), modified_at=_NO_TIME)
    )


def discard(tasks: Table, ids: Iterable[Any]) -> Delete:
    """Delete dead letters."""
    return delete(tasks).where(_among(tasks, ids, [int(Status.FAILED)]))

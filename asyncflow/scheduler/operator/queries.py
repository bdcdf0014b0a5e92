"""The statements about tasks that a person looks at or changes, each a named function."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Delete,
    Executable,
    Integer,
    Select,
    String,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import NO_TIME, Instant, seconds_until
from asyncflow.outbox.dialects import DatabaseDialect
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_named, raw_id
from asyncflow.outbox.look_up.queries import is_behind
from asyncflow.outbox.queries import A_TABLE_EACH, context_of
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import TaskId
from asyncflow.outbox.tables.column_types import APPLICATIONS
from asyncflow.outbox.task import UNIQUE_KEY
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.table.queries import has_status, logged

_MOST: Any = bindparam("most", type_=Integer())


@lru_cache(maxsize=64)
def settled_in_lane(tasks: Table, status: int, *, behind: bool) -> Select[Any]:
    """Read (time, id) of rows of a lane, by order_time and id, ``behind`` a row or from the first, ``until`` a time."""
    t = tasks.c
    wanted = [
        t.status == status,
        t.task_type == bindparam("its_type", type_=String()),
        t.shard == bindparam("its_shard", type_=Integer()),
        t.order_time <= bindparam("until", type_=Instant()),
    ]
    if behind:
        wanted.append(is_behind(t.order_time, t.id))
    limit = bindparam("limit", type_=Integer())
    return select(t.order_time.label("time"), t.id).where(*wanted).order_by(t.order_time, t.id).limit(limit)


def _among(tasks: Table, statuses: Iterable[int]) -> ColumnElement[bool]:
    return and_(is_named(tasks.c.id), or_(*(has_status(tasks, status) for status in statuses)))


@lru_cache(maxsize=32)
def summaries(tasks: Table) -> Select[Any]:
    """Read what a list shows of the rows among ``ids``."""
    t = tasks.c
    columns = (t.id, t.task_type, t.task_key, t.retry_count, t.modified_at, t.schedule_log)
    return select(*columns).where(is_named(t.id))


def whole(tasks: Table, contexts: Table, task_id: Any) -> Select[Any]:
    """Read all of a row that is ours, with its context wherever that is."""
    columns = [column for column in tasks.c if column.name != "context" and APPLICATIONS not in column.info]
    return select(*columns, context_of(tasks, contexts)).where(tasks.c.id == task_id)


@lru_cache(maxsize=A_TABLE_EACH)
def statuses_of(tasks: Table) -> Select[Any]:
    """Read the statuses of the rows among ``ids``."""
    return select(tasks.c.id, tasks.c.status).where(is_named(tasks.c.id))


@lru_cache(maxsize=32)
def with_unique_keys(tasks: Table) -> Select[Any]:
    """Read id, type and headers of the dead letters among ``ids`` that carry a unique key, in the order of ids."""
    t = tasks.c
    carries = t.headers.contains(UNIQUE_KEY, autoescape=True)
    found = select(t.id, t.task_type, t.headers).where(_among(tasks, [int(Status.FAILED)]), carries)
    return by_primary_key(found.order_by(t.id))


@lru_cache(maxsize=32)
def lock(tasks: Table, statuses: tuple[int, ...]) -> Select[Any]:
    """Read and hold the rows among ``ids`` that are in one of the statuses, in one order for all who do."""
    t = tasks.c
    columns = (t.id, t.task_type, t.task_key, t.shard, t.status, t.headers, raw_id(t.id).label("raw_id"))
    held = select(*columns).where(_among(tasks, statuses))
    return by_primary_key(held.order_by(t.id).with_for_update())


@lru_cache(maxsize=32)
def mend(tasks: Table) -> Update:
    """Let a dead letter be due as ``replay`` does, with the payload ``mended`` and the headers beside it."""
    values = {"payload": ("mended", tasks.c.payload.type), "headers": ("its_headers", tasks.c.headers.type)}
    return replay(tasks).values({name: bindparam(bound, type_=kind) for name, (bound, kind) in values.items()})


def payload_of(tasks: Table, task_id: Any) -> Select[Any]:
    """Read the payload of a row."""
    return select(tasks.c.payload).where(tasks.c.id == task_id)


@lru_cache(maxsize=32)
def replay(tasks: Table) -> Update:
    """Let dead letters be due after ``delay``, with all their retries; a stage and its context stay."""
    delay: Any = bindparam("delay", type_=tasks.c.order_time.type)
    return (
        by_primary_key(update(tasks))
        .where(_among(tasks, [int(Status.FAILED)]))
        .values(
            status=int(Status.PENDING),
            retry_count=0,
            claim_token=null(),
            owner=null(),
            order_time=delay,
            next_select_time=delay,
            schedule_log=logged(tasks),
            modified_at=NO_TIME,
        )
    )


@lru_cache(maxsize=32)
def cancel(tasks: Table) -> Update:
    """Make rows that wait or have failed CANCELLED; order_time becomes the time of settling, for the cleaner."""
    return (
        by_primary_key(update(tasks))
        .where(_among(tasks, [int(Status.PENDING), int(Status.FAILED)]))
        .values(status=int(Status.CANCELLED), order_time=NO_TIME, schedule_log=logged(tasks), modified_at=NO_TIME)
    )


@lru_cache(maxsize=32)
def discard(tasks: Table) -> Delete:
    """Delete dead letters."""
    return by_primary_key(delete(tasks)).where(_among(tasks, [int(Status.FAILED)]))


@lru_cache(maxsize=64)
def count_up_to(tasks: Table, types: int) -> Any:
    """Read (number, count) for each ``its_status_N`` and ``its_type_N``, not beyond ``most``."""
    counts = [_count_up_to(tasks, number) for number in range(types)]
    return union_all(*counts) if types > 1 else counts[0]


@lru_cache(maxsize=32)
def oldest_running(tasks: Table) -> Select[Any]:
    """Read by task type the seconds, negative, since the first of up to ``most`` PROCESSING rows was written."""
    t = tasks.c
    since = select(t.task_type, seconds_until(t.modified_at).label("since")).where(t.status == int(Status.PROCESSING))
    running = since.order_by(t.task_type, t.shard, t.order_time).limit(_MOST).subquery("running")
    return select(running.c.task_type, func.min(running.c.since)).group_by(running.c.task_type)


def _count_up_to(tasks: Table, number: int) -> Any:
    t = tasks.c
    status = t.status == bindparam(f"its_status_{number}", type_=Integer())
    task_type = t.task_type == bindparam(f"its_type_{number}", type_=String())
    rows = select(t.shard).where(status, task_type).order_by(t.shard, t.order_time).limit(_MOST)
    return select(literal_column(str(number), Integer()), func.count()).select_from(rows.subquery(f"rows_{number}"))


@lru_cache(maxsize=32)
def count_along(tasks: Table) -> Select[Any]:
    """Count by task type the first ``most`` rows of ``its_status``, as the index has them."""
    t = tasks.c
    wanted = t.status == bindparam("its_status", type_=Integer())
    # By all that the index has, or a planner may take the shortest way to any so many rows.
    order = (t.task_type, t.shard, t.order_time)
    rows = select(t.task_type).where(wanted).order_by(*order).limit(_MOST).subquery("rows")
    return select(rows.c.task_type, func.count()).group_by(rows.c.task_type)


def due_of_types(tasks: Table, dialect: DatabaseDialect) -> Select[Any]:
    """Read for each task type that has PENDING rows in how many seconds its lanes are due.

    Of those that are due the longest-due one, of those that are not the first. Of types from ``its_type`` to
    ``last_type``.
    """
    statement: Any = dialect.heads(tasks, int(Status.PENDING), of="types_between")
    task_type, _, due_in, _ = statement.subquery("heads").columns
    overdue, later = case((due_in <= 0, due_in)), case((due_in > 0, due_in))
    return select(task_type, func.min(overdue), func.min(later)).group_by(task_type)


def parked_keys(keys: Table, types: Iterable[str], dialect: DatabaseDialect) -> Executable:
    """Read of the first ``most`` parked keys of each type in how many seconds they are due; None for a blocked one."""
    k = keys.c
    due = select(k.task_type, seconds_until(k.due)).order_by(k.task_key).limit(_MOST)
    return dialect.pages([due.where(k.task_type == name) for name in types])


def latest_failed_lanes(tasks: Table, dialect: DatabaseDialect, lanes: int) -> Select[Any]:
    """Read type and shard of the lanes in which a task failed last, and when; of ``its_type`` to ``last_type``."""
    statement: Any = dialect.heads(tasks, int(Status.FAILED), newest=True, of="types_between")
    task_type, shard, _, moment = statement.subquery("heads").columns
    return select(task_type, shard, moment).order_by(moment.desc()).limit(lanes)


def latest_dead_letters(tasks: Table, lanes: Iterable[Lane], limit: int, dialect: DatabaseDialect) -> Executable:
    """Read the FAILED tasks of each lane that failed last."""
    t = tasks.c
    columns = (t.id, t.task_type, t.task_key, t.retry_count, t.modified_at, t.schedule_log)
    failed = select(*columns).where(t.status == int(Status.FAILED)).order_by(t.order_time.desc()).limit(limit)
    return dialect.pages([failed.where(t.task_type == name, t.shard == shard) for name, shard in lanes])


@lru_cache(maxsize=32)
def latest(entries: Table, *, of_task: bool, behind: bool) -> Select[Any]:
    """Read the latest ``most`` entries, of the task ``its_id``, ``behind`` an entry or from the first; latest first."""
    e = entries.c
    columns = (e.at, e.actor, e.action, e.task_id, e.task_type, e.task_key, e.reason, e.detail, e.id)
    statement = select(*columns).order_by(e.at.desc(), e.id.desc()).limit(_MOST)
    if of_task:
        statement = statement.where(e.task_id == bindparam("its_id", type_=TaskId()))
    if behind:
        time, entry_id = bindparam("after_time", type_=Instant()), bindparam("after_id", type_=TaskId())
        statement = statement.where(e.at <= time, or_(e.at < time, e.id < entry_id))
    return statement


def is_there(entries: Table, entry_id: UUID) -> Select[Any]:
    """Read the id of an entry, if it is there."""
    return select(entries.c.id).where(entries.c.id == entry_id)

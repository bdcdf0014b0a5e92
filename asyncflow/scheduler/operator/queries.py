"""The statements about tasks that a person looks at or changes, each a named function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

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
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import NO_TIME, Instant, database_now, seconds_until
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import TaskId
from asyncflow.scheduler.table.queries import context_of, has_status, logged
from asyncflow.scheduler.table.raw_ids import is_named, raw_id

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
    """Read (time, id) of rows of a lane, by order_time and id, ``behind`` a row or from the first.

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
            modified_at=NO_TIME,
        )
    )


def cancel(tasks: Table, ids: Iterable[Any]) -> Update:
    """Make rows that wait or have failed CANCELLED; order_time becomes the time of settling, for the cleaner."""
    return (
        update(tasks)
        .where(_among(tasks, ids, [int(Status.PENDING), int(Status.FAILED)]))
        .values(status=int(Status.CANCELLED), order_time=NO_TIME, schedule_log=logged(tasks), modified_at=NO_TIME)
    )


def discard(tasks: Table, ids: Iterable[Any]) -> Delete:
    """Delete dead letters."""
    return delete(tasks).where(_among(tasks, ids, [int(Status.FAILED)]))


def count_up_to(tasks: Table, most: int) -> Select[Any]:
    """Count the rows of a status and task type, but not beyond ``most``."""
    rows = (
        select(tasks.c.id)
        .where(
            tasks.c.status == bindparam("its_status", type_=Integer()),
            tasks.c.task_type == bindparam("its_type", type_=String()),
        )
        .limit(most)
        .subquery()
    )
    return select(func.count()).select_from(rows)


@lru_cache(maxsize=32)
def oldest_running(tasks: Table, most: int) -> Select[Any]:
    """Read the seconds, negative, since the first of up to ``most`` PROCESSING rows of a type was written."""
    t = tasks.c
    its = (t.status == int(Status.PROCESSING), t.task_type == bindparam("its_type", type_=String()))
    since = select(seconds_until(t.modified_at).label("since")).where(*its).limit(most).subquery()
    return select(func.min(since.c.since))


def latest_dead_letters(tasks: Table, limit: int) -> Select[Any]:
    """Read the FAILED tasks of a type and shard that failed last."""
    t = tasks.c
    return (
        select(t.id, t.task_type, t.task_key, t.retry_count, t.modified_at, t.schedule_log)
        .where(
            t.status == int(Status.FAILED),
            t.task_type == bindparam("its_type", type_=String()),
            t.shard == bindparam("its_shard", type_=Integer()),
        )
        .order_by(t.order_time.desc())
        .limit(limit)
    )


def latest(entries: Table, task_id: UUID | None, limit: int) -> Select[Any]:
    """Read the latest entries, of one task if its id is given, latest first."""
    e = entries.c
    columns = (e.at, e.actor, e.action, e.task_id, e.task_type, e.task_key, e.reason, e.detail)
    statement = select(*columns).order_by(e.at.desc(), e.id.desc()).limit(limit)
    return statement if task_id is None else statement.where(e.task_id == task_id)


def is_there(entries: Table, entry_id: UUID) -> Select[Any]:
    """Read the id of an entry, if it is there."""
    return select(entries.c.id).where(entries.c.id == entry_id)


WALK = ("task_type", "shard", "order_time", "id")  # behind a status, in the order of the index


_TYPES: dict[str, Any] = {"task_type": String(), "shard": Integer(), "order_time": Instant(), "id": TaskId()}


@lru_cache(maxsize=32)
def shown_whole(tasks: Table, contexts: Table) -> Select[Any]:
    """Read one task with everything but its claim token."""
    return select(*_shown(tasks), tasks.c.payload, context_of(tasks, contexts)).where(
        tasks.c.id == bindparam("its_id", type_=TaskId())
    )


@lru_cache(maxsize=32)
def states(tasks: Table) -> Select[Any]:
    """Read several tasks without their payloads and contexts."""
    return select(*_shown(tasks)).where(is_named(tasks.c.id))


@lru_cache(maxsize=32)
def of_status(tasks: Table, *, of_type: bool, behind: int | None, contexts: Table | None) -> Select[Any]:
    """List tasks of a status, and of a type, in the order of the index.

    ``behind`` lists those that share the first ``behind`` columns of WALK with the cursor and lie behind it in the next
    one: several statements, each a single range of the index, in place of one with ORs that no planner ranges over.
    """
    t = tasks.c
    conditions: list[ColumnElement[bool]] = [t.status == bindparam("its_status", type_=Integer())]
    if behind is not None:
        conditions += [t[name] == _at(name) for name in WALK[:behind]]
        conditions.append(t[WALK[behind]] > _at(WALK[behind]))
    if of_type:
        conditions.append(t.task_type == bindparam("its_type", type_=String()))
    order = [t[name] for name in WALK[behind or 0 :]]
    return _page(tasks, conditions, order, contexts)


@lru_cache(maxsize=32)
def of_key(tasks: Table, *, of_type: bool, of_status: bool, behind: bool, contexts: Table | None) -> Select[Any]:
    """List tasks of a key in the order of their enqueueing."""
    t = tasks.c
    conditions: list[ColumnElement[bool]] = [t.task_key == bindparam("its_key", type_=String())]
    if of_type:
        conditions.append(t.task_type == bindparam("its_type", type_=String()))
    if of_status:
        conditions.append(t.status == bindparam("its_status", type_=Integer()))
    if behind:
        at, its_id = bindparam("at_created_at", type_=Instant()), _at("id")
        conditions += [t.created_at >= at, or_(t.created_at > at, and_(t.created_at == at, t.id > its_id))]
    return _page(tasks, conditions, [t.created_at, t.id], contexts)


def _page(
    tasks: Table, conditions: list[ColumnElement[bool]], order: Sequence[Any], contexts: Table | None
) -> Select[Any]:
    columns = _shown(tasks)
    if contexts is not None:
        columns += [tasks.c.payload, context_of(tasks, contexts)]
    return select(*columns).where(*conditions).order_by(*order).limit(bindparam("most", type_=Integer()))


def _at(name: str) -> Any:
    return bindparam(f"at_{name}", type_=_TYPES[name])


def _shown(tasks: Table) -> list[Any]:
    return [column for column in tasks.c if column.name not in ("claim_token", "payload", "context")]

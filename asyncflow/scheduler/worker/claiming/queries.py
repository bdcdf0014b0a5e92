"""The statements of claims, each a named function.

A claim is a token on a PROCESSING row whose ``order_time`` is the moment at which it runs out. Every later statement is
guarded by the token, so that one who has lost the claim changes nothing.
"""

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
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import NO_TIME, database_now
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_named, raw_id
from asyncflow.outbox.queries import context_of
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import OWNER_LENGTH, RESULT_STAGE, TaskId
from asyncflow.outbox.task import UNIQUE_KEY
from asyncflow.scheduler.table.claim_owner import HEARD, MARKS, SUSPECT, WAITING_SUSPECT
from asyncflow.scheduler.table.queries import has_status, logged


def _held(tasks: Table) -> ColumnElement[bool]:
    token: Any = bindparam("token", type_=TaskId())
    return and_(is_named(tasks.c.id), tasks.c.claim_token == token, has_status(tasks, Status.PROCESSING))


def _time(tasks: Table, name: str) -> Any:
    return bindparam(name, type_=tasks.c.order_time.type)


@lru_cache(maxsize=32)
def claim(tasks: Table, *, marks: bool = False) -> Update:
    """Make rows that are still due PROCESSING under a token; each spends an attempt.

    ``marks``: those of ``marked_types`` say in their owner that nobody knows yet whether the attempt begins.
    """
    return by_primary_key(update(tasks)).where(_due(tasks)).values(_claimed(tasks, marks=marks))


@lru_cache(maxsize=32)
def claim_fresh(tasks: Table, *, marks: bool = False) -> Update:
    """Claim rows that are still due, have spent no attempt and reached no stage; with ``marks`` no suspects either."""
    t = tasks.c
    unmarked = (t.owner.is_(None),) if marks else ()
    fresh = by_primary_key(update(tasks)).where(_due(tasks), t.retry_count == 0, t.stage.is_(None), *unmarked)
    return fresh.values(_claimed(tasks, marks=marks))


@lru_cache(maxsize=32)
def begin(tasks: Table) -> Update:
    """Write down that the work on held rows begins, so that the attempt counts whatever becomes of the worker."""
    return (
        by_primary_key(update(tasks))
        .where(_held(tasks))
        .values(owner=bindparam("its_owner", type_=String()), modified_at=NO_TIME)
    )


@lru_cache(maxsize=32)
def held(tasks: Table, contexts: Table) -> Select[Any]:
    """Read which of the rows are held under the token, how far their work has come, and their attempts."""
    t = tasks.c
    context = context_of(tasks, contexts)
    return select(raw_id(t.id), t.stage, context, t.retry_count, t.owner).where(_held(tasks))


@lru_cache(maxsize=32)
def renew(tasks: Table) -> Update:
    """Let the claim of held rows begin now and last for another lease."""
    return (
        by_primary_key(update(tasks)).where(_held(tasks)).values(order_time=_time(tasks, "lease"), modified_at=NO_TIME)
    )


@lru_cache(maxsize=32)
def renew_heard(tasks: Table) -> Update:
    """Let the claim last for another lease, and know that its worker was given it."""
    return renew(tasks).values(owner=_heard(tasks))


@lru_cache(maxsize=32)
def hear(tasks: Table) -> Update:
    """Know that the worker was given the rows that are held under any of ``tokens``."""
    tokens = tasks.c.claim_token.in_(bindparam("tokens", expanding=True, type_=TaskId()))
    held = and_(is_named(tasks.c.id), tokens, has_status(tasks, Status.PROCESSING))
    return by_primary_key(update(tasks)).where(held).values(owner=_heard(tasks))


@lru_cache(maxsize=32)
def checkpoint(tasks: Table) -> Update:
    """Write how far the work of a held row has come; its claim lasts for another lease."""
    return mark(tasks).values(order_time=_time(tasks, "lease"))


@lru_cache(maxsize=32)
def mark(tasks: Table) -> Update:
    """Write how far the work of a held row has come; its claim runs out when it did before."""
    return (
        by_primary_key(update(tasks))
        .where(_held(tasks))
        .values(
            owner=_heard(tasks),
            stage=bindparam("its_stage", type_=tasks.c.stage.type),
            context=bindparam("its_context", type_=tasks.c.context.type),
            modified_at=NO_TIME,
        )
    )


@lru_cache(maxsize=32)
def processing(tasks: Table, *, locks: bool) -> Select[Any]:
    """Read those of the rows that anybody holds, in the order of ids; ``locks`` keeps them so until the commit."""
    t = tasks.c
    columns = (raw_id(t.id), t.claim_token, t.task_type, t.retry_count, t.max_retries, t.stage, t.headers)
    rows = select(*columns).where(is_named(t.id), has_status(tasks, Status.PROCESSING)).order_by(t.id)
    return by_primary_key(rows.with_for_update()) if locks else rows


@lru_cache(maxsize=32)
def held_by_owners(tasks: Table) -> Select[Any]:
    """Read the claims of ``owners`` on rows of some types in some shards, up to a limit."""
    t = tasks.c
    wanted = (
        t.task_type.in_(bindparam("task_types", expanding=True, type_=String())),
        t.shard.in_(bindparam("shards", expanding=True, type_=Integer())),
        t.owner.in_(bindparam("owners", expanding=True, type_=String())),
    )
    rows = select(raw_id(t.id), t.claim_token, t.task_type).where(has_status(tasks, Status.PROCESSING), *wanted)
    return rows.limit(bindparam("limit", type_=Integer()))


@lru_cache(maxsize=32)
def succeed(tasks: Table) -> Update:
    """Mark held rows SUCCESS; order_time becomes the time of settling, by which the cleaner goes."""
    return (
        by_primary_key(update(tasks))
        .where(_held(tasks))
        .values(status=int(Status.SUCCESS), claim_token=null(), order_time=NO_TIME, modified_at=NO_TIME)
    )


@lru_cache(maxsize=32)
def succeed_with_result(tasks: Table) -> Update:
    """Mark held rows SUCCESS, and keep the result in place of the last checkpoint."""
    return succeed(tasks).values(stage=RESULT_STAGE, context=bindparam("its_context", type_=tasks.c.context.type))


@lru_cache(maxsize=32)
def lock_held(tasks: Table) -> Select[Any]:
    """Read which of the rows are held under the token, with their headers, and keep them so until the commit."""
    held = select(raw_id(tasks.c.id), tasks.c.headers).where(_held(tasks))
    return by_primary_key(held.with_for_update())


@lru_cache(maxsize=32)
def delete_succeeded(tasks: Table) -> Delete:
    """Delete held rows that were handled, but for those of a unique key."""
    has_none = or_(tasks.c.headers.is_(None), not_(tasks.c.headers.contains(UNIQUE_KEY, autoescape=True)))
    return by_primary_key(delete(tasks).where(_held(tasks), has_none))


@lru_cache(maxsize=32)
def postpone(tasks: Table) -> Update:
    """Let held rows be due again after ``delay``; ``refund`` gives their attempt back.

    A suspect that was given back before it began stays one.
    """
    waited = func.substr(tasks.c.owner, 1, len(WAITING_SUSPECT)) == WAITING_SUSPECT
    owner = case((waited, SUSPECT), else_=null())
    return by_primary_key(update(tasks)).where(_held(tasks)).values({**pending_again(tasks), "owner": owner})


@lru_cache(maxsize=32)
def end(tasks: Table) -> Update:
    """Give held rows a last status, FAILED or CANCELLED."""
    return by_primary_key(update(tasks)).where(_held(tasks)).values(ended(tasks))


def _heard(tasks: Table) -> ColumnElement[str]:
    """Return the owner of a row whose worker is known to have been given it."""
    owner = tasks.c.owner
    name = case(
        (func.substr(owner, 1, 2) == WAITING_SUSPECT, func.substr(owner, 3)),
        (func.substr(owner, 1, 1).in_(MARKS), func.substr(owner, 2)),
        else_=owner,
    )
    return func.substr(literal(HEARD, String()) + name, 1, OWNER_LENGTH, type_=String())


def _due(tasks: Table) -> ColumnElement[bool]:
    return and_(is_named(tasks.c.id), has_status(tasks, Status.PENDING), its_time_has_come(tasks))


def its_time_has_come(tasks: Table) -> ColumnElement[bool]:
    """Return whether a row's order_time is over."""
    # IS TRUE, for which there is no index: only the ids are to lead to the rows.
    return (tasks.c.order_time <= database_now()).is_(true())


def _claimed(tasks: Table, *, marks: bool) -> dict[str, Any]:
    owner: Any = bindparam("its_owner", type_=String())
    if marks:
        is_marked = tasks.c.task_type.in_(bindparam("marked_types", expanding=True, type_=String()))
        first, again = (bindparam(name, type_=String()) for name in ("its_first", "its_again"))
        owner = case((not_(is_marked), owner), (tasks.c.owner.is_(None), first), else_=again)
    return {
        "status": int(Status.PROCESSING),
        "claim_token": bindparam("token", type_=TaskId()),
        "owner": owner,
        "retry_count": tasks.c.retry_count + 1,
        "order_time": _time(tasks, "lease"),
        "modified_at": NO_TIME,
    }


def pending_again(tasks: Table) -> dict[str, Any]:
    """Return the values of a row that is due again after ``delay``; ``refund`` gives its attempt back."""
    return {
        "status": int(Status.PENDING),
        "claim_token": null(),
        "owner": null(),
        "retry_count": tasks.c.retry_count - bindparam("refund", type_=Integer()),
        "order_time": _time(tasks, "delay"),
        "next_select_time": _time(tasks, "delay"),
        "schedule_log": logged(tasks),
        "modified_at": NO_TIME,
    }


def ended(tasks: Table) -> dict[str, Any]:
    """Return the values of a row that has a last status."""
    return {
        "status": bindparam("its_status", type_=Integer()),
        "claim_token": null(),
        "order_time": NO_TIME,
        "schedule_log": logged(tasks),
        "modified_at": NO_TIME,
    }

"""The statements by which people and services look at tasks, each a named function.

Every list follows an index, however many rows there are: that of heads, (status, task_type, shard, order_time, id), or
that of keys, (task_key, created_at).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, String, Table, and_, bindparam, or_, select
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import Instant
from asyncflow.outbox.tables import TaskId
from asyncflow.scheduler.context_queries import context_of
from asyncflow.scheduler.raw_ids import is_named

WALK = ("task_type", "shard", "order_time", "id")  # behind a status, in the order of the index
_TYPES: dict[str, Any] = {"task_type": String(), "shard": Integer(), "order_time": Instant(), "id": TaskId()}


@lru_cache(maxsize=32)
def whole(tasks: Table, contexts: Table) -> Select[Any]:
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

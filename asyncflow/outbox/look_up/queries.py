"""The statements that look tasks up, each along an index and with a bound, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, String, Table, and_, bindparam, or_, select
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import Instant
from asyncflow.outbox.dialects.raw_ids import is_named
from asyncflow.outbox.queries import A_TABLE_EACH, context_of
from asyncflow.outbox.tables import TaskId
from asyncflow.outbox.tables.column_types import APPLICATIONS

_MOST: Any = bindparam("most", type_=Integer())
WALK = ("task_type", "shard", "order_time", "id")  # behind a status, in the order of the index
_TYPES: dict[str, Any] = {"task_type": String(), "shard": Integer(), "order_time": Instant(), "id": TaskId()}


def is_behind(time: Any, task_id: Any, *, newest_first: bool = False) -> ColumnElement[bool]:
    """Tell which rows come after that of ``after_time`` and ``after_id``."""
    after: Any = bindparam("after_time", type_=Instant())
    after_id: Any = bindparam("after_id", type_=TaskId())
    # Not a comparison of rows, for which MySQL and SQLite use less of the index.
    if newest_first:
        return and_(time <= after, or_(time < after, task_id < after_id))
    return and_(time >= after, or_(time > after, task_id > after_id))


@lru_cache(maxsize=A_TABLE_EACH)
def shown_whole(tasks: Table, contexts: Table) -> Select[Any]:
    """Read one task with everything but its claim token."""
    return select(*_shown(tasks), tasks.c.payload, context_of(tasks, contexts)).where(
        tasks.c.id == bindparam("its_id", type_=TaskId())
    )


@lru_cache(maxsize=A_TABLE_EACH)
def states(tasks: Table) -> Select[Any]:
    """Read several tasks without their payloads and contexts."""
    return select(*_shown(tasks)).where(is_named(tasks.c.id))


@lru_cache(maxsize=A_TABLE_EACH)
def of_status(tasks: Table, *, of_type: bool, behind: int | None, contexts: Table | None) -> Select[Any]:
    """List tasks of a status, and of a type, in the order of the index; ``behind`` as ``_along`` has it."""
    return _along(tasks, _listed(tasks, contexts), of_type=of_type, behind=behind)


@lru_cache(maxsize=A_TABLE_EACH)
def places(tasks: Table, *, of_type: bool, behind: int | None) -> Select[Any]:
    """Read where tasks of a status, and of a type, stand, in the order of the index."""
    t = tasks.c
    columns = [t.id, t.task_type, t.shard, t.status, t.created_at, t.order_time]
    return _along(tasks, columns, of_type=of_type, behind=behind)


def _along(tasks: Table, columns: list[Any], *, of_type: bool, behind: int | None) -> Select[Any]:
    """Read up to ``most`` tasks along the index.

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
    # What is the same in all rows stays out: MariaDB would sort a whole type by it.
    order = [t[name] for name in WALK[behind or 0 :] if name != "task_type" or not of_type]
    return select(*columns).where(*conditions).order_by(*order).limit(_MOST)


@lru_cache(maxsize=A_TABLE_EACH)
def along_key(tasks: Table, *, behind: bool, newest_first: bool = False, ends: bool = False) -> Select[Any]:
    """Read of the first ``most`` rows of a key, in the order of their enqueueing, what filters ask for.

    ``behind`` a row or from the first, to the last or to the moment at which the search ``ends``.
    """
    t = tasks.c
    conditions: list[ColumnElement[bool]] = [t.task_key == bindparam("its_key", type_=String())]
    if behind:
        conditions.append(is_behind(t.created_at, t.id, newest_first=newest_first))
    if ends:
        end = bindparam("end_time", type_=Instant())
        conditions.append(t.created_at >= end if newest_first else t.created_at < end)
    columns = (t.id, t.task_type, t.shard, t.status, t.created_at, t.order_time)
    order = (t.created_at.desc(), t.id.desc()) if newest_first else (t.created_at, t.id)
    return _by_index_of_keys(select(*columns).where(*conditions), tasks).order_by(*order).limit(_MOST)


def _by_index_of_keys(rows: Select[Any], tasks: Table) -> Select[Any]:
    """Let MySQL and MariaDB begin at the moment that a search begins at.

    Left alone, they read a key from its newest row on, for the newest first, and throw away all that is newer.
    """
    for name in ("mysql", "mariadb"):
        rows = rows.with_hint(tasks, f"FORCE INDEX (`ix_{tasks.name}_key`)", name)
    return rows


@lru_cache(maxsize=A_TABLE_EACH)
def along_time(tasks: Table, *, newest_first: bool = True) -> Select[Any]:
    """Read of the first ``most`` tasks from the id ``first`` on, and below ``before``, what filters ask for."""
    t = tasks.c
    within = (t.id >= bindparam("first", type_=TaskId()), t.id < bindparam("before", type_=TaskId()))
    columns = (t.id, t.task_type, t.status, t.task_key, t.created_at)
    return select(*columns).where(*within).order_by(t.id.desc() if newest_first else t.id).limit(_MOST)


@lru_cache(maxsize=A_TABLE_EACH)
def kept_contexts(tasks: Table, contexts: Table) -> Select[Any]:
    """Read what the tasks among ``ids`` left in place of their contexts, wherever that is."""
    return select(tasks.c.id, context_of(tasks, contexts)).where(is_named(tasks.c.id))


@lru_cache(maxsize=A_TABLE_EACH)
def enqueued_in_order(tasks: Table, contexts: Table | None) -> Select[Any]:
    """List the tasks among ``ids`` in the order of their enqueueing."""
    t = tasks.c
    return select(*_listed(tasks, contexts)).where(is_named(t.id)).order_by(t.created_at, t.id)


def _listed(tasks: Table, contexts: Table | None) -> list[Any]:
    columns = _shown(tasks)
    return columns if contexts is None else [*columns, tasks.c.payload, context_of(tasks, contexts)]


def _at(name: str) -> Any:
    return bindparam(f"at_{name}", type_=_TYPES[name])


def _shown(tasks: Table) -> list[Any]:
    # Not the application's own, which numbered tables from before it declared them may not have.
    hidden = ("claim_token", "payload", "context")
    return [column for column in tasks.c if column.name not in hidden and APPLICATIONS not in column.info]

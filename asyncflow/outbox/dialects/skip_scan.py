"""Heads by a recursive skip scan, for databases whose planners have no loose index scan.

Each step asks the index for the first row behind the lane just found, so the cost is one descent a lane,
whatever the number of rows (the PostgreSQL wiki knows it as "loose indexscan").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ScalarSelect, Select, Table, and_, func, select, true
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import moment_of, seconds_until


def skip_scan_heads(tasks: Table, status: int) -> Select[Any]:
    """Return the heads statement over the index (status, task_type, shard, order_time)."""
    # Named after the status: the heads of two may stand in one statement.
    found = select(_first(tasks, status).label("id")).cte(f"heads_{status}", recursive=True)
    head = tasks.alias("head")
    # Not (task_type, shard) > (…, …): SQLite would use the type alone and walk over all its rows for each shard.
    next_shard = _first(tasks, status, tasks.c.task_type == head.c.task_type, tasks.c.shard > head.c.shard)
    next_type = _first(tasks, status, tasks.c.task_type > head.c.task_type)
    following = func.coalesce(next_shard.correlate(head), next_type.correlate(head))
    found = found.union_all(select(following).select_from(found.join(head, head.c.id == found.c.id)))
    first = head.c.order_time
    return select(head.c.task_type, head.c.shard, seconds_until(first), moment_of(first)).select_from(
        found.join(head, head.c.id == found.c.id)
    )


def lateral_heads(tasks: Table, status: int) -> Select[Any]:
    """Return the same for databases with LATERAL: from the index alone, with no join that a planner could turn around.

    PostgreSQL believes a table empty in which a vacuum found no row, whatever was written since; it would then join
    by reading all of a backlog for each step.
    """
    t, names = tasks.c, ("task_type", "shard", "order_time")
    found = _first_entry(tasks, status).cte(f"heads_{status}", recursive=True)
    in_type = _first_entry(tasks, status, t.task_type == found.c.task_type, t.shard > found.c.shard).lateral()
    # Only if the type has no other shard.
    behind_type = _first_entry(tasks, status, t.task_type > found.c.task_type, in_type.c.shard.is_(None)).lateral()
    following = [func.coalesce(in_type.c[name], behind_type.c[name]).label(name) for name in names]
    either = found.outerjoin(in_type, true()).outerjoin(behind_type, true())
    there_is_one = func.coalesce(in_type.c.shard, behind_type.c.shard).is_not(None)
    found = found.union_all(select(*following).select_from(either).where(there_is_one))
    first = found.c.order_time
    return select(found.c.task_type, found.c.shard, seconds_until(first), moment_of(first))


def _first(tasks: Table, status: int, *behind: ColumnElement[bool]) -> ScalarSelect[Any]:
    return _first_of(tasks, status, behind, tasks.c.id).scalar_subquery()


def _first_entry(tasks: Table, status: int, *behind: ColumnElement[bool]) -> Select[Any]:
    return _first_of(tasks, status, behind, tasks.c.task_type, tasks.c.shard, tasks.c.order_time)


def _first_of(tasks: Table, status: int, behind: Iterable[ColumnElement[bool]], *columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .where(and_(tasks.c.status == status, *behind))
        .order_by(tasks.c.task_type, tasks.c.shard, tasks.c.order_time)
        .limit(1)
    )

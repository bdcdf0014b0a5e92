"""Heads by a recursive skip scan, for databases whose planners have no loose index scan.

Each step asks the index for the first row behind the pair just found, so the cost is one descent a pair,
whatever the number of rows (the PostgreSQL wiki knows it as "loose indexscan").
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ScalarSelect, Select, Table, and_, func, select
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import seconds_until


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
    return select(head.c.task_type, head.c.shard, seconds_until(head.c.order_time)).select_from(
        found.join(head, head.c.id == found.c.id)
    )


def _first(tasks: Table, status: int, *behind: ColumnElement[bool]) -> ScalarSelect[Any]:
    return (
        select(tasks.c.id)
        .where(and_(tasks.c.status == status, *behind))
        .order_by(tasks.c.task_type, tasks.c.shard, tasks.c.order_time)
        .limit(1)
        .scalar_subquery()
    )

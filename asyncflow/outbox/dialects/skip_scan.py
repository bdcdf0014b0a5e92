"""Heads by a recursive skip scan, for databases whose planners have no loose index scan.

Each step asks the index for the first row behind the lane just found, so the cost is one descent a lane,
whatever the number of rows (the PostgreSQL wiki knows it as "loose indexscan").

No ORDER BY is needed, and one would walk over all lanes before a LIMIT is looked at: a step makes one row, of the one
before. So whatever is read of the walk is its beginning, and comes in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    FromClause,
    Join,
    ScalarSelect,
    Select,
    String,
    Table,
    and_,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import moment_of, seconds_until
from asyncflow.outbox.dialects.protocol import HeadsOf

_WALK = ("task_type", "shard", "order_time")  # behind the status, in the order of the index


def skip_scan_heads(tasks: Table, status: int, *, newest: bool = False, of: HeadsOf = "all_types") -> Select[Any]:
    """Return the heads statement over the index (status, task_type, shard, order_time)."""
    step = _IndexStep(tasks, status, newest, of)
    # Named after the status: the heads of two may stand in one statement.
    found = select(step.first_id().label("id")).cte(f"heads_{status}", recursive=True)
    head = tasks.alias("head")
    # Not (task_type, shard) > (…, …): SQLite would use the type alone and walk over all its rows for each shard.
    next_shard = step.first_id(tasks.c.task_type == head.c.task_type, step.behind("shard", head.c.shard))
    next_type = step.first_id(step.behind("task_type", head.c.task_type))
    following = func.coalesce(next_shard.correlate(head), next_type.correlate(head))
    found = found.union_all(select(following).select_from(_rows_of(found, head)).where(found.c.id.is_not(None)))
    first = head.c.order_time
    told = select(head.c.task_type, head.c.shard, seconds_until(first), moment_of(first))
    return told.select_from(_rows_of(found, head)).where(found.c.id.is_not(None))


def _rows_of(found: CTE, head: FromClause) -> Join:
    """Join each id to its row, and not the other way round.

    An outer join cannot be turned around. With an inner one SQLite 3.53 begins with all rows of the table, where
    ANALYZE has counted some ten thousand.
    """
    return found.outerjoin(head, head.c.id == found.c.id)


def lateral_heads(tasks: Table, status: int, *, newest: bool = False, of: HeadsOf = "all_types") -> Select[Any]:
    """Return the same for databases with LATERAL: from the index alone, with no join that a planner could turn around.

    PostgreSQL believes a table empty in which a vacuum found no row, whatever was written since; it would then join
    by reading all of a backlog for each step.
    """
    step = _IndexStep(tasks, status, newest, of)
    found = step.first_entry().cte(f"heads_{status}", recursive=True)
    in_type = step.first_entry(tasks.c.task_type == found.c.task_type, step.behind("shard", found.c.shard)).lateral()
    # Only if the type has no other shard.
    behind_type = step.first_entry(step.behind("task_type", found.c.task_type), in_type.c.shard.is_(None)).lateral()
    following = [func.coalesce(in_type.c[name], behind_type.c[name]).label(name) for name in _WALK]
    either = found.outerjoin(in_type, true()).outerjoin(behind_type, true())
    there_is_one = func.coalesce(in_type.c.shard, behind_type.c.shard).is_not(None)
    found = found.union_all(select(*following).select_from(either).where(there_is_one))
    first = found.c.order_time
    return select(found.c.task_type, found.c.shard, seconds_until(first), moment_of(first))


def heads_of_named(tasks: Table, status: int) -> Select[Any]:
    """Return the heads of the types bound as its_types: the walk begins at each of them, and ends with its lanes."""
    wanted = select(func.unnest(bindparam("its_types", type_=ARRAY(String()))).label("name")).subquery("wanted")
    step = _IndexStep(tasks, status)
    first = step.first_entry(tasks.c.task_type == wanted.c.name).lateral("first")
    begun = select(*(first.c[name] for name in _WALK)).select_from(wanted.join(first, true()))
    found = begun.cte(f"heads_{status}", recursive=True)
    following = step.first_entry(tasks.c.task_type == found.c.task_type, step.behind("shard", found.c.shard)).lateral()
    found = found.union_all(select(*(following.c[name] for name in _WALK)).select_from(found.join(following, true())))
    moment = found.c.order_time
    return select(found.c.task_type, found.c.shard, seconds_until(moment), moment_of(moment))


def skip_scan_types(tasks: Table, status: int) -> Select[Any]:
    """Return the task types that have rows in a status, by a descent for each."""
    step = _IndexStep(tasks, status)
    found = select(step.first_type().label("name")).cte(f"types_{status}", recursive=True)
    following = step.first_type(step.behind("task_type", found.c.name)).correlate(found)
    found = found.union_all(select(following).where(found.c.name.is_not(None)))
    return select(found.c.name).where(found.c.name.is_not(None))


def among_types(tasks: Table, of: HeadsOf) -> tuple[ColumnElement[bool], ...]:
    """Return the condition of heads of some types, none for all."""
    name, its_type = tasks.c.task_type, bindparam("its_type", type_=String())
    last_type = bindparam("last_type", type_=String())
    return {
        "all_types": (),
        "its_type": (name == its_type,),
        "types_behind": (name > its_type,),
        "types_named": (name.in_(bindparam("its_types", expanding=True, type_=String())),),
        "types_between": (name >= its_type, name <= last_type),
    }[of]


@dataclass(frozen=True)
class _IndexStep:
    """Make the queries for the next entry of the index, forward, or backward from the ``newest``."""

    tasks: Table
    status: int
    newest: bool = False
    of: HeadsOf = "all_types"

    def behind(self, name: str, place: ColumnElement[Any]) -> ColumnElement[bool]:
        column = self.tasks.c[name]
        return column < place if self.newest else column > place

    def first_id(self, *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
        return self._first(conditions, [self.tasks.c.id]).scalar_subquery()

    def first_type(self, *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
        return self._first(conditions, [self.tasks.c.task_type]).scalar_subquery()

    def first_entry(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        return self._first(conditions, [self.tasks.c[name] for name in _WALK])

    def _first(self, conditions: Sequence[ColumnElement[bool]], columns: Sequence[Any]) -> Select[Any]:
        t = self.tasks.c
        order = [t[name].desc() if self.newest else t[name] for name in _WALK]
        return (
            select(*columns)
            .where(and_(t.status == self.status, *among_types(self.tasks, self.of), *conditions))
            .order_by(*order)
            .limit(1)
        )

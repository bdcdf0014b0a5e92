"""The statements of upkeep, each a named function: of the timetable, and of what is cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Delete,
    Integer,
    Select,
    String,
    Table,
    Update,
    bindparam,
    delete,
    literal_column,
    select,
    type_coerce,
    update,
)

from asyncflow.outbox.clock import NO_TIME, Instant, database_now
from asyncflow.outbox.dialects import DatabaseDialect, dialect_of
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import Raw, raw_id
from asyncflow.scheduler.heads.queries import Head


def entries(periodic: Table, names: Iterable[str]) -> Select[Any]:
    """Read the entries of the periodic tasks, each with the database's now."""
    p = periodic.c
    return select(p.name, p.cron, p.timezone, p.next_due, p.last_due, database_now().label("now")).where(
        p.name.in_([*names])
    )


@lru_cache(maxsize=32)
def advance(periodic: Table) -> Update:
    """Let an entry be due next at ``its_next_due``, unless somebody has changed it since it was read.

    Of any number that saw the same due time, one changes the row; whoever enqueues in that transaction is the only one.
    """
    p = periodic.c
    return (
        update(periodic)
        .where(
            p.name == bindparam("its_name", type_=String()),
            p.next_due == bindparam("its_due", type_=Instant()),
            p.cron == bindparam("old_cron", type_=String()),
            p.timezone == bindparam("old_timezone", type_=String()),
        )
        .values(
            cron=bindparam("its_cron", type_=String()),
            timezone=bindparam("its_timezone", type_=String()),
            next_due=bindparam("its_next_due", type_=Instant()),
            last_due=bindparam("its_last_due", type_=Instant()),
            modified_at=NO_TIME,
        )
    )


def read_expired(
    connection: Connection, tasks: Table, status: int, heads: Sequence[Head], age: timedelta, limit: int
) -> list[tuple[Any, int]]:
    """Read rows of each head settled longer than ``age`` ago, oldest first, up to ``limit`` of each.

    Of each its id, and the number of its head.
    """
    values: dict[str, Any] = {"age": age, "limit": limit}
    for number, head in enumerate(heads):
        values |= {f"task_type_{number}": head.task_type, f"shard_{number}": head.shard}
    dialect = dialect_of(connection.dialect.name)
    rows = connection.execute(_expired(dialect, tasks, status, len(heads)), values)
    return [(raw, number) for raw, number in rows]


@lru_cache(maxsize=256)
def _expired(dialect: DatabaseDialect, tasks: Table, status: int, count: int) -> Any:
    return dialect.pages([_expired_page(tasks, status, number) for number in range(count)])


def _expired_page(tasks: Table, status: int, number: int) -> Select[Any]:
    t = tasks.c
    return (
        select(raw_id(t.id).label("id"), literal_column(str(number), Integer()).label("number"))
        .where(
            t.status == status,
            t.task_type == bindparam(f"task_type_{number}", type_=String()),
            t.shard == bindparam(f"shard_{number}", type_=Integer()),
            t.order_time < bindparam("age", type_=t.order_time.type),
        )
        .order_by(t.order_time)
        .limit(bindparam("limit", type_=Integer()))
    )


def expired(entries: Table) -> Select[Any]:
    """Read ids of entries older than ``age``, oldest first."""
    e = entries.c
    old = e.at < bindparam("age", type_=e.at.type)
    return select(type_coerce(e.id, Raw())).where(old).order_by(e.at).limit(bindparam("limit", type_=Integer()))


def delete_entries(entries: Table) -> Delete:
    """Delete entries by primary key."""
    return by_primary_key(delete(entries)).where(entries.c.id.in_(bindparam("ids", expanding=True, type_=Raw())))

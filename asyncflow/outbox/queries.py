"""The write side's statements, each a named function."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Delete,
    Insert,
    Integer,
    Select,
    String,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import Instant
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.tables import OVERFLOWN

A_TABLE_EACH = 512  # statements kept of what is made for each numbered table: as many as are known, in two forms


@lru_cache(maxsize=32)
def insert_task(tasks: Table) -> Insert:
    """Write one task row with all its columns."""
    return insert(tasks)


@lru_cache(maxsize=32)
def insert_entry(inbox: Table) -> Insert:
    """Write one entry of an inbox, which ``insert_absent`` does in the database's own way; by it a bind is found."""
    return insert(inbox)


@lru_cache(maxsize=32)
def insert_ordered_task(tasks: Table) -> Insert:
    """Write one task row of an ordered type, with all its columns but those that are its ``turn``."""
    turn = bindparam("turn", type_=Instant())
    return insert(tasks).values(order_time=turn, created_at=turn)


def spent_turns(turns: Table) -> Select[Any]:
    """Read numbers of turns that were drawn, lowest first, but not the latest: the database counts on from that."""
    latest = select(func.max(turns.c.number)).scalar_subquery()
    return (
        select(turns.c.number)
        .where(turns.c.number < latest)
        .order_by(turns.c.number)
        .limit(bindparam("limit", type_=Integer()))
    )


def delete_turns(turns: Table) -> Delete:
    """Delete turns by their ``numbers``."""
    named = turns.c.number.in_(bindparam("numbers", expanding=True, type_=BigInteger()))
    return by_primary_key(delete(turns).where(named))


def expired_dedupe_keys(dedupe: Table) -> Select[Any]:
    """Read the primary keys of idempotency keys first used longer than ``age`` ago, oldest first."""
    return (
        select(dedupe.c.task_type, dedupe.c.idempotency_key)
        .where(dedupe.c.created_at < bindparam("age", type_=dedupe.c.created_at.type))
        .order_by(dedupe.c.created_at)
        .limit(bindparam("limit", type_=Integer()))
    )


def delete_dedupe_keys(connection: Connection, dedupe: Table, keys: Iterable[tuple[str, str]]) -> None:
    """Delete idempotency keys by their primary keys, those of a task type in one statement."""
    _delete_pairs(connection, dedupe.c.task_type, dedupe.c.idempotency_key, keys)


def expired_inbox_entries(inbox: Table, older_than: timedelta, limit: int) -> Select[Any]:
    """Read the keys of entries that no redelivery can need any more, oldest first."""
    return (
        select(inbox.c.consumer, inbox.c.message_id)
        .where(inbox.c.processed_at < -older_than)
        .order_by(inbox.c.processed_at)
        .limit(limit)
    )


def delete_inbox_entries(connection: Connection, inbox: Table, keys: Iterable[tuple[str, str]]) -> None:
    """Delete entries by their primary keys, those of a consumer in one statement."""
    _delete_pairs(connection, inbox.c.consumer, inbox.c.message_id, keys)


def _delete_pairs(
    connection: Connection, first: Column[str], second: Column[str], pairs: Iterable[tuple[str, str]]
) -> None:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for one, other in pairs:
        groups[one].append(other)
    statement = _delete_of(first, second)
    for one, others in groups.items():
        connection.execute(statement, {"its_first": one, "its_seconds": others})


@lru_cache(maxsize=32)
def _delete_of(first: Column[str], second: Column[str]) -> Delete:
    named = second.in_(bindparam("its_seconds", expanding=True, type_=String()))
    return delete(first.table).where(first == bindparam("its_first", type_=String()), named)


@lru_cache(maxsize=32)
def tasks_of_idempotency_keys(dedupe: Table) -> Select[Any]:
    """Read the first task of each key of a task type, each with its key.

    A locking read: under MySQL's REPEATABLE READ a plain one would not see what the insert has just waited for.
    """
    its_type = bindparam("its_type", type_=String())
    rows = select(dedupe.c.idempotency_key, dedupe.c.task_id).where(
        # Twice, for with an equation MySQL and MariaDB may read, and lock, all keys of a type that has few.
        dedupe.c.task_type.in_([its_type, its_type]),
        dedupe.c.idempotency_key.in_(bindparam("its_keys", expanding=True, type_=String())),
    )
    return by_primary_key(rows.with_for_update(read=True))


def insert_absent(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose primary keys are not there yet; return how many those were.

    A key that another open transaction has inserted is waited for. No error is raised for one that is there, so a
    transaction on PostgreSQL goes on.
    """
    return dialect_of(connection.dialect.name).insert_absent(connection, table, rows)


def context_of(tasks: Table, contexts: Table) -> ColumnElement[Any]:
    """Return the context of a row, wherever it is; the other table is looked into where the row says so."""
    elsewhere = select(contexts.c.context).where(contexts.c.task_id == tasks.c.id).correlate(tasks).scalar_subquery()
    return case((tasks.c.context == OVERFLOWN, elsewhere), else_=tasks.c.context).label("context")


@lru_cache(maxsize=A_TABLE_EACH)
def outcome(tasks: Table, contexts: Table) -> Select[Any]:
    """Read what became of a task, and what it left in place of its context, wherever that is."""
    t, its_id = tasks.c, bindparam("its_id", type_=tasks.c.id.type)
    return select(t.task_type, t.status, t.stage, t.schedule_log, context_of(tasks, contexts)).where(t.id == its_id)

"""The task table, and the tables of what belongs to a task."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, SmallInteger, Table
from sqlalchemy.dialects import mysql

from asyncflow.outbox.clock import DatabaseTime
from asyncflow.outbox.tables.column_types import TRANSACTIONAL, TaskId, any_text, exact, older_rows, unbounded_text
from asyncflow.outbox.tables.lengths import (
    KEY_LENGTH,
    OWNER_LENGTH,
    STAGE_LENGTH,
    TASK_TYPE_LENGTH,
)


def task_columns() -> list[Column[Any]]:
    """Return fresh columns of the task table, the one list from which every door is built."""
    return [
        Column("id", TaskId(), primary_key=True),
        Column("task_type", exact(TASK_TYPE_LENGTH), nullable=False),
        Column("task_key", exact(KEY_LENGTH), nullable=True),
        Column("shard", SmallInteger, nullable=False, autoincrement=False),
        Column("status", SmallInteger, nullable=False, autoincrement=False),
        Column("priority", Integer, nullable=False, info=older_rows("0")),
        Column("order_time", DatabaseTime(), nullable=False),
        Column("next_select_time", DatabaseTime(), nullable=False),
        Column("retry_count", Integer, nullable=False, info=older_rows("0")),
        Column("max_retries", Integer, nullable=False),
        Column("headers", any_text(), nullable=True),
        Column("payload", LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"), nullable=True),
        Column("schedule_log", any_text(), nullable=True),
        Column("created_at", DatabaseTime(), nullable=False),
        Column("modified_at", DatabaseTime(), nullable=False),
        # The WORKER_COLUMNS.
        Column("stage", exact(STAGE_LENGTH), nullable=True),
        Column("context", any_text(), nullable=True),  # OVERFLOWN: it is in the context table
        Column("owner", exact(OWNER_LENGTH), nullable=True),
        Column("claim_token", TaskId(), nullable=True),
    ]


def task_table(metadata: MetaData, name: str = "asyncflow_task", schema: str | None = None) -> Table:
    """Add the task table to ``metadata``; return the one already there if it was added before.

    One index serves every read path: heads, pages and cleaning have equality on a prefix of
    (status, task_type, shard) and read ``order_time`` in order, then ``id``, which ends ties. (InnoDB ends each
    index with the primary key anyway, so there it costs nothing.)
    """
    schema = schema or metadata.schema
    existing = metadata.tables.get(f"{schema}.{name}" if schema else name)
    if existing is not None:
        return existing
    return Table(
        name,
        metadata,
        *task_columns(),
        Index(f"ix_{name}_head", "status", "task_type", "shard", "order_time", "id"),
        Index(f"ix_{name}_key", "task_key", "created_at"),
        schema=schema,
        **TRANSACTIONAL,
    )


def context_table(metadata: MetaData, name: str = "asyncflow_context", schema: str | None = None) -> Table:
    """Add the table of contexts that are too large for the task's row, each for as long as the task is there."""
    return Table(
        name,
        metadata,
        Column("task_id", TaskId(), primary_key=True),
        Column("context", unbounded_text(), nullable=False),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def dedupe_table(metadata: MetaData, name: str = "asyncflow_dedupe", schema: str | None = None) -> Table:
    """Add the table of idempotency keys: which task was the first of its type to use each."""
    return Table(
        name,
        metadata,
        Column("task_type", exact(TASK_TYPE_LENGTH), primary_key=True),
        Column("idempotency_key", exact(KEY_LENGTH), primary_key=True),
        Column("task_id", TaskId(), nullable=False),
        Column("created_at", DatabaseTime(), nullable=False),
        Index(f"ix_{name}_created_at", "created_at"),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def unique_table(metadata: MetaData, name: str = "asyncflow_unique", schema: str | None = None) -> Table:
    """Add the table of unique keys: which task of its type took each last. Its status tells whether it still has it."""
    return Table(
        name,
        metadata,
        Column("task_type", exact(TASK_TYPE_LENGTH), primary_key=True),
        Column("unique_key", exact(KEY_LENGTH), primary_key=True),
        Column("task_id", TaskId(), nullable=False),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def turn_table(metadata: MetaData, name: str = "asyncflow_turn", schema: str | None = None) -> Table:
    """Add the table of turns: numbers drawn by the database, by which the tasks of ordered types go.

    Microseconds since 1970 that never step back, as long as the newest row stays. (SQLite counts in INTEGER alone.)
    """
    return Table(
        name,
        metadata,
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        schema=schema,
        keep_existing=True,
        sqlite_autoincrement=True,
        **TRANSACTIONAL,
    )


def parked_key_table(metadata: MetaData, name: str = "asyncflow_parked_key", schema: str | None = None) -> Table:
    """Add the table of parked keys: those of ordered types that wait for one of their tasks.

    ``since`` is the enqueue time of the earliest task that waits, ``due`` when the key is tried again; without one
    it waits for ``blocked_by``, a dead letter, to be replayed or discarded.
    """
    return Table(
        name,
        metadata,
        Column("task_type", exact(TASK_TYPE_LENGTH), primary_key=True),
        Column("task_key", exact(KEY_LENGTH), primary_key=True),
        Column("shard", SmallInteger, nullable=False, autoincrement=False),
        Column("since", DatabaseTime(), nullable=False),
        Column("due", DatabaseTime(), nullable=True),
        Column("blocked_by", TaskId(), nullable=True),
        Index(f"ix_{name}_shard", "shard"),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )

"""The tables that a person or the code sets, and those that tell what was done."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table

from asyncflow.outbox.clock import DatabaseTime, Instant
from asyncflow.outbox.tables.column_types import TRANSACTIONAL, TaskId, any_text, exact
from asyncflow.outbox.tables.lengths import (
    ACTION_LENGTH,
    ACTOR_LENGTH,
    CRON_LENGTH,
    KEY_LENGTH,
    PERIODIC_NAME_LENGTH,
    REASON_LENGTH,
    TASK_TYPE_LENGTH,
    TIMEZONE_LENGTH,
)


def schedule_cfg_table(metadata: MetaData, name: str = "asyncflow_schedule_cfg", schema: str | None = None) -> Table:
    """Add the configuration table: options of a task type that replace those of its declaration, NULL as declared.

    A row for a type that no code declares registers that type. ``schedule_limit`` is the option ``limit``, a reserved
    word.
    """
    return Table(
        name,
        metadata,
        Column("task_type", exact(TASK_TYPE_LENGTH), primary_key=True),
        Column("schedule_limit", Integer, nullable=True),
        Column("interval_seconds", Double, nullable=True),
        Column("max_processing_time_seconds", Double, nullable=True),
        Column("max_retries", Integer, nullable=True),
        Column("retry_interval_seconds", Double, nullable=True),
        Column("max_retry_interval_seconds", Double, nullable=True),
        Column("enabled", Boolean, nullable=True),
        Column("concurrency", Integer, nullable=True),
        Column("modified_at", DatabaseTime(), nullable=False),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def periodic_table(metadata: MetaData, name: str = "asyncflow_periodic", schema: str | None = None) -> Table:
    """Add the table of periodic tasks: by which plan each is due, when next, and which due time got its task last."""
    return Table(
        name,
        metadata,
        Column("name", exact(PERIODIC_NAME_LENGTH), primary_key=True),
        Column("cron", exact(CRON_LENGTH), nullable=False),
        Column("timezone", exact(TIMEZONE_LENGTH), nullable=False),
        Column("next_due", Instant(), nullable=False),
        Column("last_due", Instant(), nullable=True),
        Column("modified_at", DatabaseTime(), nullable=False),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def audit_table(metadata: MetaData, name: str = "asyncflow_audit", schema: str | None = None) -> Table:
    """Add the audit table: who changed which task on purpose, when by the database's clock, how and why."""
    return Table(
        name,
        metadata,
        Column("id", TaskId(), primary_key=True),
        Column("at", DatabaseTime(), nullable=False),
        Column("actor", exact(ACTOR_LENGTH), nullable=False),
        Column("action", exact(ACTION_LENGTH), nullable=False),
        Column("task_id", TaskId(), nullable=False),
        Column("task_type", exact(TASK_TYPE_LENGTH), nullable=False),
        Column("task_key", exact(KEY_LENGTH), nullable=True),
        Column("reason", exact(REASON_LENGTH), nullable=True),
        Column("detail", any_text(), nullable=True),
        Index(f"ix_{name}_at", "at"),
        Index(f"ix_{name}_task", "task_id"),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def chart_table(metadata: MetaData, name: str = "asyncflow_chart", schema: str | None = None) -> Table:
    """Add the table of charts: how many tasks of a type came to which outcome in each minute of an hour.

    ``hour`` is counted from 1970, by the database's clock; ``counts`` is JSON, ``total`` their sum. The type is empty
    in the rows of all types together. A ``writer`` is a process for an hour: its rows are nobody else's.
    """
    return Table(
        name,
        metadata,
        Column("hour", Integer, primary_key=True, autoincrement=False),
        Column("task_type", exact(TASK_TYPE_LENGTH), primary_key=True),
        Column("writer", TaskId(), primary_key=True),
        Column("total", BigInteger, nullable=False),
        Column("counts", any_text(), nullable=False),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )

"""asyncflow's tables, added to the application's own MetaData.

``create_all`` makes them and Alembic's autogenerate sees them like any other table of the application. The
Core door (``task_table``) and the declarative mixin (``TaskMixin``) are built from one column list.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BINARY,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import declared_attr
from sqlalchemy.types import TypeDecorator, TypeEngine

from asyncflow.outbox.clock import DatabaseTime, Instant
from asyncflow.outbox.task import uuid_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped

TASK_TYPE_LENGTH = 100
KEY_LENGTH = 255
OWNER_LENGTH = 120
JOB_LENGTH = 100
CONSUMER_LENGTH = 100
MESSAGE_ID_LENGTH = 255
SCHEDULE_LOG_LENGTH = 2000
STAGE_LENGTH = 100
OVERFLOWN = "@"  # no JSON text begins so
MOST_CONTEXT_ROW_BYTES = 65_000  # MySQL's TEXT ends at 65,535
ACTOR_LENGTH = 120
ACTION_LENGTH = 20
REASON_LENGTH = 500
DETAIL_LENGTH = 200
PERIODIC_NAME_LENGTH = 100
CRON_LENGTH = 200
TIMEZONE_LENGTH = 64
WORKER_COLUMNS = frozenset({"stage", "context", "owner", "claim_token"})  # an enqueue leaves them out

# A server's default engine may know no transactions.
_TRANSACTIONAL: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}


class TaskId(TypeDecorator[uuid.UUID]):
    """Store a UUID in 16 bytes everywhere: BINARY(16), PostgreSQL's own uuid, or SQLite's blob."""

    impl = BINARY(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use PostgreSQL's uuid, which people can read, and SQLite's blob: to it, BINARY(16) is a number."""
        kinds: dict[str, TypeEngine[Any]] = {"postgresql": Uuid(), "sqlite": LargeBinary()}
        return dialect.type_descriptor(kinds.get(dialect.name) or BINARY(16))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Accept a UUID, its bytes or its text."""
        if value is None:
            return None
        task_id = uuid_of(value)
        return task_id if dialect.name == "postgresql" else task_id.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        """Return a UUID."""
        return value if value is None or isinstance(value, uuid.UUID) else uuid_of(value)


def _exact(length: int) -> String:
    """Return a text type that tells 'a' from 'A': MySQL's default collations do not."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def _any_text() -> Text:
    """Return a long text type for any script, whatever the database's default character set."""
    return Text().with_variant(mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def _unbounded_text() -> Text:
    """Return a text type for megabytes: MySQL's TEXT ends at 64 KiB."""
    return Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def task_columns() -> list[Column[Any]]:
    """Return fresh columns of the task table, the one list from which every door is built."""
    return [
        Column("id", TaskId(), primary_key=True),
        Column("task_type", _exact(TASK_TYPE_LENGTH), nullable=False),
        Column("task_key", _exact(KEY_LENGTH), nullable=True),
        Column("shard", SmallInteger, nullable=False, autoincrement=False),
        Column("status", SmallInteger, nullable=False, autoincrement=False),
        Column("priority", Integer, nullable=False),
        Column("order_time", DatabaseTime(), nullable=False),
        Column("next_select_time", DatabaseTime(), nullable=False),
        Column("retry_count", Integer, nullable=False),
        Column("max_retries", Integer, nullable=False),
        Column("headers", _any_text(), nullable=True),
        Column("payload", LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"), nullable=True),
        Column("schedule_log", _any_text(), nullable=True),
        Column("created_at", DatabaseTime(), nullable=False),
        Column("modified_at", DatabaseTime(), nullable=False),
        # The WORKER_COLUMNS.
        Column("stage", _exact(STAGE_LENGTH), nullable=True),
        Column("context", _any_text(), nullable=True),  # OVERFLOWN: it is in the context table
        Column("owner", _exact(OWNER_LENGTH), nullable=True),
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
        **_TRANSACTIONAL,
    )


def shard_table(metadata: MetaData, name: str = "asyncflow_shard", schema: str | None = None) -> Table:
    """Add the shard table: who owns each shard of each job, until when, and by ``epoch`` how often that changed.

    ``acquired_at`` is when the lease was written last: so it also tells for how long, whatever became of the clock.

    ``disabled``, ``misfire`` and ``running`` are those of the ElasticJob sharding item.
    """
    return Table(
        name,
        metadata,
        Column("job", _exact(JOB_LENGTH), primary_key=True),
        Column("shard", SmallInteger, primary_key=True, autoincrement=False),
        Column("owner", _exact(OWNER_LENGTH), nullable=True),
        Column("epoch", BigInteger, nullable=False),
        Column("lease_until", DatabaseTime(), nullable=True),
        Column("acquired_at", DatabaseTime(), nullable=True),
        Column("disabled", Boolean, nullable=False),
        Column("misfire", Boolean, nullable=False),
        Column("running", Boolean, nullable=False),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


def instance_table(metadata: MetaData, name: str = "asyncflow_instance", schema: str | None = None) -> Table:
    """Add the instance table: which running processes share each job, each by a lease that it renews.

    ``joined_at`` is when the lease was written last.
    """
    return Table(
        name,
        metadata,
        Column("job", _exact(JOB_LENGTH), primary_key=True),
        Column("instance", _exact(OWNER_LENGTH), primary_key=True),
        Column("joined_at", DatabaseTime(), nullable=False),
        Column("lease_until", DatabaseTime(), nullable=False),
        Column("leaving", Boolean, nullable=False),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


def parked_key_table(metadata: MetaData, name: str = "asyncflow_parked_key", schema: str | None = None) -> Table:
    """Add the table of parked keys: those of ordered types that wait for one of their tasks.

    ``since`` is the enqueue time of the earliest task that waits, ``due`` when the key is tried again; without one
    it waits for ``blocked_by``, a dead letter, to be replayed or discarded.
    """
    return Table(
        name,
        metadata,
        Column("task_type", _exact(TASK_TYPE_LENGTH), primary_key=True),
        Column("task_key", _exact(KEY_LENGTH), primary_key=True),
        Column("shard", SmallInteger, nullable=False, autoincrement=False),
        Column("since", DatabaseTime(), nullable=False),
        Column("due", DatabaseTime(), nullable=True),
        Column("blocked_by", TaskId(), nullable=True),
        Index(f"ix_{name}_shard", "shard"),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
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
        **_TRANSACTIONAL,
    )


def job_table(metadata: MetaData, name: str = "asyncflow_job", schema: str | None = None) -> Table:
    """Add the job table: the recorded configuration of each job, and whether it is switched off."""
    return Table(
        name,
        metadata,
        Column("name", _exact(JOB_LENGTH), primary_key=True),
        Column("config", _any_text(), nullable=False),
        Column("sharding_total_count", Integer, nullable=False),
        Column("disabled", Boolean, nullable=False),
        Column("modified_at", DatabaseTime(), nullable=False),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


def schedule_cfg_table(metadata: MetaData, name: str = "asyncflow_schedule_cfg", schema: str | None = None) -> Table:
    """Add the configuration table: options of a task type that replace those of its declaration, NULL as declared.

    A row for a type that no code declares registers that type. ``schedule_limit`` is the option ``limit``, a reserved
    word.
    """
    return Table(
        name,
        metadata,
        Column("task_type", _exact(TASK_TYPE_LENGTH), primary_key=True),
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
        **_TRANSACTIONAL,
    )


def context_table(metadata: MetaData, name: str = "asyncflow_context", schema: str | None = None) -> Table:
    """Add the table of contexts that are too large for the task's row, each for as long as the task is there."""
    return Table(
        name,
        metadata,
        Column("task_id", TaskId(), primary_key=True),
        Column("context", _unbounded_text(), nullable=False),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


def audit_table(metadata: MetaData, name: str = "asyncflow_audit", schema: str | None = None) -> Table:
    """Add the audit table: who changed which task on purpose, when by the database's clock, how and why."""
    return Table(
        name,
        metadata,
        Column("id", TaskId(), primary_key=True),
        Column("at", DatabaseTime(), nullable=False),
        Column("actor", _exact(ACTOR_LENGTH), nullable=False),
        Column("action", _exact(ACTION_LENGTH), nullable=False),
        Column("task_id", TaskId(), nullable=False),
        Column("task_type", _exact(TASK_TYPE_LENGTH), nullable=False),
        Column("task_key", _exact(KEY_LENGTH), nullable=True),
        Column("reason", _exact(REASON_LENGTH), nullable=True),
        Column("detail", _exact(DETAIL_LENGTH), nullable=True),
        Index(f"ix_{name}_at", "at"),
        Index(f"ix_{name}_task", "task_id"),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


def inbox_table(metadata: MetaData, name: str = "asyncflow_inbox", schema: str | None = None) -> Table:
    """Add the inbox table: which consumer has already taken which message."""
    return Table(
        name,
        metadata,
        Column("consumer", _exact(CONSUMER_LENGTH), primary_key=True),
        Column("message_id", _exact(MESSAGE_ID_LENGTH), primary_key=True),
        Column("processed_at", DatabaseTime(), nullable=False),
        Index(f"ix_{name}_processed_at", "processed_at"),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


def dedupe_table(metadata: MetaData, name: str = "asyncflow_dedupe", schema: str | None = None) -> Table:
    """Add the table of idempotency keys: which task was the first of its type to use each."""
    return Table(
        name,
        metadata,
        Column("task_type", _exact(TASK_TYPE_LENGTH), primary_key=True),
        Column("idempotency_key", _exact(KEY_LENGTH), primary_key=True),
        Column("task_id", TaskId(), nullable=False),
        Column("created_at", DatabaseTime(), nullable=False),
        Index(f"ix_{name}_created_at", "created_at"),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


def periodic_table(metadata: MetaData, name: str = "asyncflow_periodic", schema: str | None = None) -> Table:
    """Add the table of periodic tasks: by which plan each is due, when next, and which due time got its task last."""
    return Table(
        name,
        metadata,
        Column("name", _exact(PERIODIC_NAME_LENGTH), primary_key=True),
        Column("cron", _exact(CRON_LENGTH), nullable=False),
        Column("timezone", _exact(TIMEZONE_LENGTH), nullable=False),
        Column("next_due", Instant(), nullable=False),
        Column("last_due", Instant(), nullable=True),
        Column("modified_at", DatabaseTime(), nullable=False),
        schema=schema,
        keep_existing=True,
        **_TRANSACTIONAL,
    )


class TaskMixin:
    """Map the task table on the application's declarative base, to read tasks with the ORM.

    ``class OutboxTask(TaskMixin, Base): __tablename__ = "asyncflow_task"``. Give ``Outbox`` the same
    MetaData and name; it finds the table.
    """

    __tablename__ = "asyncflow_task"

    if TYPE_CHECKING:
        id: Mapped[uuid.UUID]
        task_type: Mapped[str]
        task_key: Mapped[str | None]
        shard: Mapped[int]
        status: Mapped[int]
        priority: Mapped[int]
        order_time: Mapped[datetime]
        next_select_time: Mapped[datetime]
        retry_count: Mapped[int]
        max_retries: Mapped[int]
        headers: Mapped[str | None]
        payload: Mapped[bytes | None]
        schedule_log: Mapped[str | None]
        created_at: Mapped[datetime]
        modified_at: Mapped[datetime]
        stage: Mapped[str | None]
        context: Mapped[str | None]
        owner: Mapped[str | None]
        claim_token: Mapped[uuid.UUID | None]

    @declared_attr.directive
    def __table__(cls) -> Table:  # noqa: N805 - declared_attr passes the class
        """Build the table in the MetaData of the class's base, in the schema of its ``__table_args__``."""
        arguments = getattr(cls, "__table_args__", None) or {}
        options = arguments if isinstance(arguments, dict) else arguments[-1]
        schema = options.get("schema") if isinstance(options, dict) else None
        return task_table(cls.metadata, cls.__tablename__, schema)  # type: ignore[attr-defined]

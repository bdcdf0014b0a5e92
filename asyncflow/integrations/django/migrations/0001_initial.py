"""All tables of an outbox and an inbox."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from django.db import migrations
from sqlalchemy.dialects import mysql

from asyncflow.integrations.django.operations import CreateTables

ID = sa.BINARY(16).with_variant(sa.Uuid(), "postgresql").with_variant(sa.LargeBinary(), "sqlite")
TIME = (
    sa.DateTime()
    .with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    .with_variant(sa.DateTime(timezone=True), "postgresql")
)
EXACT: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
LONG = sa.Text().with_variant(mysql.TEXT(**EXACT), "mysql", "mariadb")
LONGER = sa.Text().with_variant(mysql.LONGTEXT(**EXACT), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
metadata = sa.MetaData()


def text(length: int) -> sa.String:
    return sa.String(length).with_variant(mysql.VARCHAR(length, **EXACT), "mysql", "mariadb")


def table(name: str, *columns: Any, **options: Any) -> sa.Table:
    return sa.Table(name, metadata, *columns, mysql_engine="InnoDB", mariadb_engine="InnoDB", **options)


def key(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, **options)


def column(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def optional(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


table(
    "asyncflow_task",
    key("id", ID),
    column("task_type", text(100)),
    optional("task_key", text(255)),
    column("shard", sa.SmallInteger(), autoincrement=False),
    column("status", sa.SmallInteger(), autoincrement=False),
    column("priority", sa.Integer()),
    column("order_time", TIME),
    column("next_select_time", TIME),
    column("retry_count", sa.Integer()),
    column("max_retries", sa.Integer()),
    optional("headers", LONG),
    optional("payload", BYTES),
    optional("schedule_log", LONG),
    column("created_at", TIME),
    column("modified_at", TIME),
    optional("stage", text(100)),
    optional("context", LONG),
    optional("owner", text(120)),
    optional("claim_token", ID),
    sa.Index("ix_asyncflow_task_head", "status", "task_type", "shard", "order_time", "id"),
    sa.Index("ix_asyncflow_task_key", "task_key", "created_at"),
)
table("asyncflow_context", key("task_id", ID), column("context", LONGER))
table("asyncflow_turn", key("number", NUMBER), sqlite_autoincrement=True)
table(
    "asyncflow_dedupe",
    key("task_type", text(100)),
    key("idempotency_key", text(255)),
    column("task_id", ID),
    column("created_at", TIME),
    sa.Index("ix_asyncflow_dedupe_created_at", "created_at"),
)
table(
    "asyncflow_parked_key",
    key("task_type", text(100)),
    key("task_key", text(255)),
    column("shard", sa.SmallInteger(), autoincrement=False),
    column("since", TIME),
    optional("due", TIME),
    optional("blocked_by", ID),
    sa.Index("ix_asyncflow_parked_key_shard", "shard"),
)
table(
    "asyncflow_periodic",
    key("name", text(100)),
    column("cron", text(200)),
    column("timezone", text(64)),
    column("next_due", TIME),
    optional("last_due", TIME),
    column("modified_at", TIME),
)
table(
    "asyncflow_schedule_cfg",
    key("task_type", text(100)),
    optional("schedule_limit", sa.Integer()),
    optional("interval_seconds", sa.Double()),
    optional("max_processing_time_seconds", sa.Double()),
    optional("max_retries", sa.Integer()),
    optional("retry_interval_seconds", sa.Double()),
    optional("max_retry_interval_seconds", sa.Double()),
    optional("enabled", sa.Boolean()),
    optional("concurrency", sa.Integer()),
    column("modified_at", TIME),
)
table(
    "asyncflow_shard",
    key("job", text(100)),
    key("shard", sa.SmallInteger(), autoincrement=False),
    optional("owner", text(120)),
    column("epoch", sa.BigInteger()),
    optional("lease_until", TIME),
    optional("acquired_at", TIME),
    column("disabled", sa.Boolean()),
    column("misfire", sa.Boolean()),
    column("running", sa.Boolean()),
)
table(
    "asyncflow_instance",
    key("job", text(100)),
    key("instance", text(120)),
    column("joined_at", TIME),
    column("lease_until", TIME),
    column("leaving", sa.Boolean()),
    optional("state", LONG),
)
table(
    "asyncflow_job",
    key("name", text(100)),
    column("config", LONG),
    column("sharding_total_count", sa.Integer()),
    column("disabled", sa.Boolean()),
    column("modified_at", TIME),
)
table(
    "asyncflow_audit",
    key("id", ID),
    column("at", TIME),
    column("actor", text(120)),
    column("action", text(20)),
    column("task_id", ID),
    column("task_type", text(100)),
    optional("task_key", text(255)),
    optional("reason", text(500)),
    optional("detail", LONG),
    sa.Index("ix_asyncflow_audit_at", "at"),
    sa.Index("ix_asyncflow_audit_task", "task_id"),
)
table(
    "asyncflow_inbox",
    key("consumer", text(100)),
    key("message_id", text(255)),
    column("processed_at", TIME),
    sa.Index("ix_asyncflow_inbox_processed_at", "processed_at"),
)


class Migration(migrations.Migration):
    """Create them."""

    initial = True
    operations = [CreateTables(metadata.tables.values())]

"""The table of unique keys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from django.db import migrations
from sqlalchemy.dialects import mysql

from asyncflow.integrations.django.operations import CreateTables

EXACT: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
unique = sa.Table(
    "asyncflow_unique",
    sa.MetaData(),
    sa.Column(
        "task_type",
        sa.String(100).with_variant(mysql.VARCHAR(100, **EXACT), "mysql", "mariadb"),
        primary_key=True,
    ),
    sa.Column(
        "unique_key",
        sa.String(255).with_variant(mysql.VARCHAR(255, **EXACT), "mysql", "mariadb"),
        primary_key=True,
    ),
    sa.Column(
        "task_id",
        sa.BINARY(16).with_variant(sa.Uuid(), "postgresql").with_variant(sa.LargeBinary(), "sqlite"),
        nullable=False,
    ),
    mysql_engine="InnoDB",
    mariadb_engine="InnoDB",
)


class Migration(migrations.Migration):
    """Create it."""

    dependencies = [("asyncflow", "0002_chart")]
    operations = [CreateTables([unique])]

"""The table of charts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from django.db import migrations
from sqlalchemy.dialects import mysql

from asyncflow.integrations.django.operations import CreateTables

EXACT: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
chart = sa.Table(
    "asyncflow_chart",
    sa.MetaData(),
    sa.Column("hour", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column(
        "task_type",
        sa.String(100).with_variant(mysql.VARCHAR(100, **EXACT), "mysql", "mariadb"),
        primary_key=True,
    ),
    sa.Column(
        "writer",
        sa.BINARY(16).with_variant(sa.Uuid(), "postgresql").with_variant(sa.LargeBinary(), "sqlite"),
        primary_key=True,
    ),
    sa.Column("total", sa.BigInteger(), nullable=False),
    sa.Column("counts", sa.Text().with_variant(mysql.TEXT(**EXACT), "mysql", "mariadb"), nullable=False),
    mysql_engine="InnoDB",
    mariadb_engine="InnoDB",
)


class Migration(migrations.Migration):
    """Create it."""

    dependencies = [("asyncflow", "0001_initial")]
    operations = [CreateTables([chart])]

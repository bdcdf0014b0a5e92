"""The insert that leaves what is there as it is, shared by the inbox, the idempotency keys and the periodic tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import dialect_of


def insert_absent(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose primary keys are not there yet; return how many those were.

    A key that another open transaction has inserted is waited for. No error is raised for one that is there, so a
    transaction on PostgreSQL goes on.
    """
    return dialect_of(connection.dialect.name).insert_absent(connection, table, rows)

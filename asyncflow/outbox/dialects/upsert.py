"""ON CONFLICT DO NOTHING, which PostgreSQL and SQLite share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection


def insert_absent(connection: Connection, statement: Any, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows in one statement; return how many were not there."""
    # Without the option SQLAlchemy forgets the row count of an INSERT on PostgreSQL.
    statement = statement.execution_options(preserve_rowcount=True)
    if len(rows) == 1:
        return connection.execute(statement, dict(rows[0])).rowcount
    return connection.execute(statement.values([dict(row) for row in rows])).rowcount if rows else 0

"""The insert that leaves what is there as it is, shared by the inbox and the idempotency keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import dialect_of


def insert_absent(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose primary keys are not there yet, in one statement; return how many those were.

    A key that another open transaction has inserted is waited for. No error is raised for one that is there, so a
    transaction on PostgreSQL goes on. The caller has checked what MySQL's IGNORE would cut or hide.
    """
    statement = dialect_of(connection.dialect.name).insert_once(table)
    # Without the option SQLAlchemy forgets the row count of an INSERT on PostgreSQL.
    statement = statement.execution_options(preserve_rowcount=True)
    if len(rows) == 1:
        return connection.execute(statement, rows[0]).rowcount
    # In one VALUES: PyMySQL's executemany would send a statement a row, for ours holds a function.
    return connection.execute(statement.values(list(rows))).rowcount

"""PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Insert, Select, Table, insert, union_all
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects.skip_scan import skip_scan_heads

_CONTENTION = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available


class PostgreSQL:
    """Read heads by a recursive skip scan."""

    isolation_level: str | None = "READ COMMITTED"
    locks_rows = True

    def heads(self, tasks: Table, status: int) -> Executable:
        """Return the heads statement."""
        return skip_scan_heads(tasks, status)

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join the selects by UNION ALL."""
        return union_all(*selects) if len(selects) > 1 else selects[0]

    def insert_once(self, table: Table) -> Insert:
        """Return INSERT … ON CONFLICT DO NOTHING."""
        return upsert(table).on_conflict_do_nothing()

    def insert_many(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert by executemany, which psycopg sends as one pipeline."""
        connection.execute(insert(table), [dict(row) for row in rows])

    def id_literals(self, raw_ids: Iterable[Any]) -> str:
        """Write text, which takes on the column's type: psycopg returns UUID objects."""
        return ",".join(f"'{raw_id}'" for raw_id in raw_ids)

    def is_contention(self, error: DBAPIError) -> bool:
        """Know serialization failures, deadlocks and lock waits."""
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)  # psycopg 3, psycopg2
        return state in _CONTENTION

"""SQLite, for demonstrations, tests and single-host applications."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Insert, Select, Table, insert, select, union_all
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects.protocol import Limited, SessionLimits
from asyncflow.outbox.dialects.skip_scan import skip_scan_heads


class SQLite:
    """Read heads by a recursive skip scan; one writer at a time is the database's own rule."""

    isolation_level: str | None = None
    locks_rows = False

    def heads(self, tasks: Table, status: int) -> Executable:
        """Return the heads statement."""
        return skip_scan_heads(tasks, status)

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join the selects by UNION ALL, each as a subquery: SQLite allows no LIMIT in a branch."""
        if len(selects) == 1:
            return selects[0]
        return union_all(*(select(page.subquery(f"page_{number}")) for number, page in enumerate(selects)))

    def insert_once(self, table: Table) -> Insert:
        """Return INSERT … ON CONFLICT DO NOTHING."""
        return upsert(table).on_conflict_do_nothing()

    def insert_many(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert by executemany, which SQLite runs as one prepared statement."""
        connection.execute(insert(table), [dict(row) for row in rows])

    def limit_session(self, driver_connection: Any, dialect: Any, limits: SessionLimits) -> Limited:
        """Do nothing: it waits as long as its own time-out says, and nobody is between."""
        return Limited()

    def skips_locked(self, dialect: Any) -> bool:
        """Tell that it has no row locks to skip."""
        return False

    def plan_anew(self, driver_connection: Any) -> Callable[[], None]:
        """Do nothing: without ANALYZE its plans go by no counts."""
        return lambda: None

    def correct_statistics(self, connection: Connection, table: Table, rows: int) -> None:
        """Do nothing: without ANALYZE its plans go by no counts."""

    def among(self, raw_ids: Iterable[Any]) -> str:
        """Write blob literals."""
        literals = ",".join(f"X'{bytes(raw_id).hex()}'" for raw_id in raw_ids)
        return f"IN ({literals})"

    def is_lock_wait(self, error: DBAPIError) -> bool:
        """Tell that no row's lock is waited for: its one lock is given back soon."""
        return False

    def is_elsewhere(self, error: DBAPIError) -> bool:
        """Tell that its file is nowhere else."""
        return False

    def is_refused_write(self, error: DBAPIError) -> bool:
        """Tell that its file is nowhere else."""
        return False

    def begin_before_savepoint(self, connection: Connection) -> None:
        """Begin, or the driver would let the release of the first savepoint commit."""
        if not getattr(connection.connection.driver_connection, "in_transaction", True):
            connection.exec_driver_sql("BEGIN")

    def is_contention(self, error: DBAPIError) -> bool:
        """Know SQLITE_BUSY and SQLITE_LOCKED by their texts: error codes came with Python 3.11."""
        return any(text in str(error.orig) for text in ("is locked", "busy"))

"""PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Executable, Insert, Select, Table, insert, text, union_all
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects.skip_scan import lateral_heads

# Its own estimate: the density that it last saw, in the pages of now. It has none of a table that was never looked at.
_BELIEVED_ROWS = text(
    "SELECT reltuples / relpages * pg_relation_size(oid) / current_setting('block_size')::int "
    "FROM pg_class WHERE oid = CAST(:name AS regclass) AND relpages > 0 AND reltuples >= 0"
)
_CONTENTION = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available


class PostgreSQL:
    """Read heads by a recursive skip scan."""

    isolation_level: str | None = "READ COMMITTED"
    locks_rows = True

    def heads(self, tasks: Table, status: int) -> Executable:
        """Return the heads statement."""
        return lateral_heads(tasks, status)

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join the selects by UNION ALL."""
        return union_all(*selects) if len(selects) > 1 else selects[0]

    def insert_once(self, table: Table) -> Insert:
        """Return INSERT … ON CONFLICT DO NOTHING."""
        return upsert(table).on_conflict_do_nothing()

    def insert_many(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert by executemany, which psycopg sends as one pipeline."""
        connection.execute(insert(table), [dict(row) for row in rows])

    def plan_anew(self, driver_connection: Any) -> Callable[[], None]:
        """Switch off what psycopg prepares by itself: a plan made for an empty table reads all of a backlog."""
        if (threshold := getattr(driver_connection, "prepare_threshold", None)) is None:
            return lambda: None
        driver_connection.prepare_threshold = None
        return partial(setattr, driver_connection, "prepare_threshold", threshold)

    def correct_statistics(self, connection: Connection, table: Table, rows: int) -> None:
        """Analyse the table, unless somebody is about it, or we do not own it: then it warns and does nothing."""
        name = connection.dialect.identifier_preparer.format_table(table)
        believed = connection.execute(_BELIEVED_ROWS, {"name": name}).scalar()
        if believed is not None and believed < rows:
            connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {name} (status)")

    def among(self, raw_ids: Iterable[Any]) -> str:
        """Write one array of text, in a sub-select: so the planner takes it for ten ids, and goes by their index."""
        ids = ",".join(map(str, raw_ids))
        return f"= ANY(ARRAY(SELECT unnest('{{{ids}}}'::uuid[])))"

    def is_contention(self, error: DBAPIError) -> bool:
        """Know serialization failures, deadlocks and lock waits."""
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)  # psycopg 3, psycopg2
        return state in _CONTENTION

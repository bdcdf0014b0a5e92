"""MySQL 5.7 and later, MariaDB, and what speaks their protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Dialect, Executable, Insert, Select, Table, func, insert, select, union_all
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.clock import seconds_until

_LOCK_WAIT_TIMEOUT, _DEADLOCK, _CHANGED_SINCE_READ = 1205, 1213, 1020
_MOST_ROWS = 500
_MOST_BYTES = 512 * 1024  # of one statement: half of the smallest max_allowed_packet in use
_NAMED = re.compile(r"%\((\w+)\)s")
_MICROSECOND = timedelta(microseconds=1)


class MySQL:
    """Read heads by MySQL's loose index scan; insert many rows with one multi-row INSERT."""

    # REPEATABLE READ, the default, locks gaps against concurrent inserts and ends in deadlocks.
    isolation_level: str | None = "READ COMMITTED"
    locks_rows = True

    def heads(self, tasks: Table, status: int) -> Executable:
        """Return the heads statement.

        ``status`` stands in the GROUP BY although it is constant: without it the optimizer reads all rows.
        """
        first = func.min(tasks.c.order_time, type_=tasks.c.order_time.type)
        return (
            select(tasks.c.task_type, tasks.c.shard, seconds_until(first))
            .where(tasks.c.status == status)
            .group_by(tasks.c.status, tasks.c.task_type, tasks.c.shard)
        )

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join the selects by UNION ALL, which needs no temporary table here."""
        return union_all(*selects) if len(selects) > 1 else selects[0]

    def insert_once(self, table: Table) -> Insert:
        """Return INSERT IGNORE; the caller has checked what IGNORE would cut or hide."""
        return insert(table).prefix_with("IGNORE")

    def insert_many(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert in multi-row statements.

        PyMySQL's own executemany falls back to a statement a row when VALUES holds a function, as ours does.
        """
        prefix, values, columns = _insert_parts(table, tuple(rows[0]), connection.dialect)
        for chunk in _chunks(rows):
            parameters = tuple(_bound(row[column]) for row in chunk for column in columns)
            connection.exec_driver_sql(prefix + ", ".join([values] * len(chunk)), parameters)

    def plan_anew(self, driver_connection: Any) -> Callable[[], None]:
        """Do nothing: its drivers prepare nothing by themselves."""
        return lambda: None

    def correct_statistics(self, connection: Connection, table: Table, rows: int) -> None:
        """Do nothing: the planner counts in the index itself."""

    def among(self, raw_ids: Iterable[Any]) -> str:
        """Write binary literals."""
        literals = ",".join(f"0x{bytes(raw_id).hex()}" for raw_id in raw_ids)
        return f"IN ({literals or 'NULL'})"

    def is_contention(self, error: DBAPIError) -> bool:
        """Know deadlocks, lock waits and MariaDB's snapshot conflicts."""
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        return code in (_LOCK_WAIT_TIMEOUT, _DEADLOCK, _CHANGED_SINCE_READ)


@lru_cache(maxsize=32)
def _insert_parts(table: Table, columns: tuple[str, ...], dialect: Dialect) -> tuple[str, str, tuple[str, ...]]:
    """Return the statement up to VALUES, the group of one row with %s for each value, and the values' order."""
    compiled: Any = insert(table).compile(dialect=dialect, column_keys=list(columns))
    prefix, _, values = str(compiled).partition(" VALUES ")
    if compiled.positional:
        return prefix + " VALUES ", values, tuple(compiled.positiontup)
    return prefix + " VALUES ", _NAMED.sub("%s", values), tuple(_NAMED.findall(values))


def _bound(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.bytes
    return value // _MICROSECOND if isinstance(value, timedelta) else value


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    chunk: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        row_size = 300 + sum(len(value) for value in row.values() if isinstance(value, (bytes, str)))
        if chunk and (len(chunk) == _MOST_ROWS or size + row_size > _MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row_size
    yield chunk

"""PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Insert,
    Integer,
    Select,
    Table,
    cast,
    func,
    insert,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from asyncflow.driver_errors import state_of
from asyncflow.errors import AsyncflowError, NotTransactionalError, UnsupportedDatabaseError
from asyncflow.outbox.dialects.encodings import is_carried
from asyncflow.outbox.dialects.poolers import Another, pooler_fault, told_pid
from asyncflow.outbox.dialects.protocol import HeadsOf, LaneNumbers, Limited, SessionLimits
from asyncflow.outbox.dialects.skip_scan import heads_of_named, lateral_heads, skip_scan_types
from asyncflow.outbox.dialects.upsert import insert_absent

_ALONG_AN_INDEX = "SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)"
# Its own estimate: the density that it last saw, in the pages of now. It has none of a table that was never looked at.
_BELIEVED_ROWS = text(
    "SELECT reltuples / relpages * pg_relation_size(oid) / current_setting('block_size')::int "
    "FROM pg_class WHERE oid = CAST(:name AS regclass) AND relpages > 0 AND reltuples >= 0"
)
_ENCODINGS = text("SELECT current_setting('server_encoding'), current_setting('client_encoding')")
_MAY_NOT_WRITE = text("SELECT current_setting('transaction_read_only')")
_LOCK_NOT_AVAILABLE = "55P03"
_READ_ONLY = "25006"
_UNDEFINED_TABLE = "42P01"
_REFUSING_CLASSES = frozenset({"22", "23", "44"})  # data exceptions, constraints, WITH CHECK OPTION
_RAISED = "P0001"  # by a trigger
# Besides: shut down by the administrator or a crash, not up yet, connections that are none any more.
_ELSEWHERE = frozenset({_READ_ONLY, "57P01", "57P02", "57P03", "57P05", "25P03", "08000", "08003", "08006"})
_NEXT_TEXT = "nextval(pg_get_serial_sequence(:name, 'number'))"
_NOW_TEXT = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint"
_NEXT = text(f"SELECT {_NEXT_TEXT}")
_CATCHES_UP = text("SELECT pg_try_advisory_xact_lock(hashtext(:name)::bigint)")
# By a second at least: in that many microseconds others draw a few numbers at most, before they are set.
_CATCH_UP = text(
    f"SELECT setval(pg_get_serial_sequence(:name, 'number'), {_NOW_TEXT}) WHERE {_NOW_TEXT} > {_NEXT_TEXT} + 1000000"
)
_BINARY = 1  # psycopg.pq.Format.BINARY
_CONTENTION = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available


class PostgreSQL:
    """Read heads by a recursive skip scan."""

    isolation_level: str | None = "READ COMMITTED"
    takes_named_types = True
    joins_lanes = True
    limits_each_lane = True
    locks_rows = True
    errors_end_transactions = True
    oldest_transactions: str | None = (
        "SELECT pid, xact_start, state, application_name, query FROM pg_stat_activity "
        "WHERE xact_start IS NOT NULL ORDER BY xact_start LIMIT 5"
    )
    sends_rows_at_once = True

    def heads(self, tasks: Table, status: int, *, newest: bool = False, of: HeadsOf = "all_types") -> Select[Any]:
        """Return the heads statement."""
        if of == "types_named":
            return heads_of_named(tasks, status)
        return lateral_heads(tasks, status, newest=newest, of=of)

    def heads_of_type(self, tasks: Table, status: int, shards: int) -> Executable:
        """Return the heads statement of a type."""
        return self.heads(tasks, status, of="its_type")

    def types(self, tasks: Table, status: int) -> Executable:
        """Return the types statement."""
        return skip_scan_types(tasks, status)

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join the selects by UNION ALL."""
        return union_all(*selects) if len(selects) > 1 else selects[0]

    def lanes(self, tasks: Table, due: Select[Any], numbers: LaneNumbers) -> Select[Any] | None:
        """Return the rows by LATERAL: a page is planned once, and read for each shard, until there are enough."""
        t = tasks.c
        each = (func.unnest(cast(array([number]), ARRAY(Integer))) for number in (numbers.shards, numbers.limits))
        shards, limits = each
        lane = select(shards.label("shard"), limits.label("most")).subquery("lane")
        page = due.where(t.shard == lane.c.shard).order_by(t.order_time, t.id).limit(lane.c.most).lateral("page")
        return select(page).select_from(lane.join(page, true())).limit(numbers.limit)

    def joined(self, pages: Sequence[str]) -> str:
        """Join the texts of page selects as ``pages`` does."""
        return "(" + ") UNION ALL (".join(pages) + ")" if len(pages) > 1 else pages[0]

    def insert_absent(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert by ON CONFLICT DO NOTHING."""
        return insert_absent(connection, upsert(table).on_conflict_do_nothing(), rows)

    def insert_and_hold(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert by ON CONFLICT DO NOTHING, which locks no row that is there."""
        self.insert_absent(connection, table, rows)

    def draw(self, connection: Connection, turns: Table) -> int:
        """Draw from the sequence of the column; no row is written."""
        number: int = connection.execute(_NEXT, {"name": _named(connection, turns)}).scalar_one()
        return number

    def catch_up(self, connection: Connection, turns: Table) -> None:
        """Set the sequence to the database's now, one transaction at a time: it is never set lower than it stands.

        The lock is held until the caller's transaction ends; who does not get it goes on from where the numbers are.
        """
        name = {"name": _named(connection, turns)}
        if connection.execute(_CATCHES_UP, name).scalar_one():
            connection.execute(_CATCH_UP, name)

    def insert_many(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        statement: Insert | None = None,
    ) -> None:
        """Insert by executemany, which psycopg sends as one pipeline."""
        connection.execute(insert(table) if statement is None else statement, [dict(row) for row in rows])

    def limit_session(self, driver_connection: Any, dialect: Any, limits: SessionLimits) -> Limited:
        """Set parameters of the session; of each transaction, where a pooler stands between that changes sessions."""
        version = tuple(dialect.server_version_info or ())
        # The one style of dates that psycopg reads; times as floats, with all their digits.
        values: dict[str, object] = {
            "lock_timeout": limits.lock_wait_seconds * 1000,
            # One that ends a statement before its wait for a lock does would hide that a lock is what it waits for.
            "statement_timeout": limits.statement_seconds * 1000,
            "DateStyle": "ISO",
            "extra_float_digits": 3,
        }
        if version >= (9, 6):
            values["idle_in_transaction_session_timeout"] = limits.idle_transaction_seconds * 1000
        if version >= (11,):
            # What is limited by a value of the statement is planned as if a tenth of the table was read: to compile
            # that takes longer than to run it.
            values["jit"] = "off"
        if version >= (12,):
            values["tcp_user_timeout"] = limits.user_timeout_seconds * 1000
        if version >= (14,):
            values["idle_session_timeout"] = 0  # loops keep theirs from one look to the next
        if version >= (17,):
            values["transaction_timeout"] = 0
        pid = told_pid(driver_connection)
        here = f"pg_backend_pid() = {pid}" if pid else "true"
        columns = (
            f"current_setting('{n}'), CASE WHEN {here} THEN set_config('{n}', '{v}', false) END"
            for n, v in values.items()
        )
        row = _run(driver_connection, f"SELECT {', '.join(columns)}")
        if row[1] is None:
            of_transaction = (name for name in ("lock_timeout", "statement_timeout", "jit") if name in values)
            return Limited(at_begin="; ".join(f"SET LOCAL {name} = '{values[name]}'" for name in of_transaction))
        old = zip(values, row[::2], strict=True)
        undo = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in old)
        return Limited(partial(_run, driver_connection, undo))

    def read_whole(self, driver_connection: Any) -> Callable[[], None]:
        """Do nothing: no setting of a session cuts its reads short."""
        return lambda: None

    def skips_locked(self, dialect: Any) -> bool:
        """Know PostgreSQL from 9.5."""
        return True

    def text_fault(self, connection: Connection, text: str) -> str | None:
        """Compare with both encodings: asking the server about one that it cannot take would end the transaction."""
        server, client = connection.execute(_ENCODINGS).one()
        if is_carried(text, server=server, client=client):
            return None
        return f"client_encoding is {client} and the database's encoding {server}; have UTF8 in both"

    def table_faults(self, connection: Connection, tables: Sequence[Table]) -> list[AsyncflowError]:
        """Know tables that a crash of the server empties."""
        return [
            NotTransactionalError(
                f"the table {name} is UNLOGGED: a crash of the server empties it, and leaves the business rows; "
                f"ALTER TABLE {name} SET LOGGED"
            )
            for name in _unlogged(connection, tables)
        ]

    def server_fault(self, connection: Connection, longest_value: int) -> AsyncflowError | None:
        """Know sessions that may not write."""
        if connection.execute(_MAY_NOT_WRITE).scalar() == "on":
            return UnsupportedDatabaseError(
                "default_transaction_read_only is on, or the server is a standby: nothing can be written; "
                "connect to the primary, with default_transaction_read_only=off"
            )
        return None

    def pooler_fault(self, connection: Connection, another: Another) -> AsyncflowError | None:
        """Know drivers that a pooler of transactions breaks."""
        return pooler_fault(connection, another)

    def plan_anew(self, driver_connection: Any) -> Callable[[], None]:
        """Switch off what psycopg prepares by itself: a plan made for an empty table reads all of a backlog."""
        if (threshold := getattr(driver_connection, "prepare_threshold", None)) is None:
            return lambda: None
        driver_connection.prepare_threshold = None
        return partial(setattr, driver_connection, "prepare_threshold", threshold)

    @contextmanager
    def in_binary(self, driver_connection: Any) -> Iterator[None]:
        """Let psycopg's cursors ask for it; not those that an application has put in their place."""
        plain = getattr(sys.modules.get("psycopg"), "Cursor", None)
        if plain is None or getattr(driver_connection, "cursor_factory", None) is not plain:
            yield
            return
        driver_connection.cursor_factory = partial(_binary_cursor, plain)
        try:
            yield
        finally:
            driver_connection.cursor_factory = plain

    def in_index_order(self, connection: Connection) -> None:
        """Switch off, in this transaction, what reads all and sorts it: where it knows no better, it expects a row."""
        connection.exec_driver_sql(_ALONG_AN_INDEX)

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

    def is_refusal(self, error: DBAPIError) -> bool:
        """Know broken constraints and policies, values that no column takes, and what triggers raise."""
        state = _state_of(error) or ""
        return state[:2] in _REFUSING_CLASSES or state == _RAISED

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Know undefined tables."""
        return _state_of(error) == _UNDEFINED_TABLE

    def begin_before_savepoint(self, connection: Connection) -> None:
        """Do nothing: a savepoint is part of the transaction."""

    def has_undone(self, connection: Connection) -> bool:
        """Return False: whatever follows an error fails as well."""
        return False

    def has_changed(self, connection: Connection) -> bool:
        """Ask for the transaction's number, which it gets with its first change, or row lock."""
        return connection.exec_driver_sql("SELECT txid_current_if_assigned()").scalar() is not None

    def is_contention(self, error: DBAPIError) -> bool:
        """Know serialization failures, deadlocks and lock waits."""
        return _state_of(error) in _CONTENTION

    def is_lock_wait(self, error: DBAPIError) -> bool:
        """Know lock_timeout."""
        return _state_of(error) == _LOCK_NOT_AVAILABLE

    def is_elsewhere(self, error: DBAPIError) -> bool:
        """Know standbys, and servers that shut down or start."""
        return _state_of(error) in _ELSEWHERE

    def is_refused_write(self, error: DBAPIError) -> bool:
        """Know standbys and read-only transactions."""
        return _state_of(error) == _READ_ONLY


def _state_of(error: DBAPIError) -> str | None:
    return state_of(error.orig)


def _run(driver_connection: Any, statement: str) -> Any:
    """Run a SELECT that changes settings, which a rollback would take back, outside of any transaction.

    pg8000 begins one as the pool asks whether the connection lives, and leaves it open where none is to be begun.
    """
    if getattr(driver_connection, "_in_transaction", False):
        driver_connection.rollback()
    before = driver_connection.autocommit
    if not before:
        driver_connection.autocommit = True
    cursor = driver_connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone()
    finally:
        cursor.close()
        if not before:
            driver_connection.autocommit = before


def _unlogged(connection: Connection, tables: Sequence[Table]) -> list[str]:
    """Ask by the driver's own cursor: who counts the statements of a publish does not count what is asked once."""
    names = ", ".join(f"to_regclass({_quoted(_named(connection, table))})" for table in tables)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(
            f"SELECT CAST(CAST(oid AS regclass) AS text) FROM pg_class WHERE oid IN ({names}) AND relpersistence <> 'p'"
        )
        return [str(row[0]) for row in cursor.fetchall()]
    finally:
        cursor.close()


def _binary_cursor(cursor: Any, *given: Any, **options: Any) -> Any:
    made = cursor(*given, **options)
    made.format = _BINARY
    return made


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _named(connection: Connection, table: Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)

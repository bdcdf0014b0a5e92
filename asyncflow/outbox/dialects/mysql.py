"""MySQL 5.7 and later, MariaDB, and what speaks their protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Dialect, Executable, Insert, Select, Table, func, insert, select, tuple_, union_all
from sqlalchemy.dialects.mysql import insert as upsert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from asyncflow.driver_errors import number_of
from asyncflow.errors import AsyncflowError
from asyncflow.outbox.clock import moment_of, now_in_microseconds, seconds_until
from asyncflow.outbox.dialects import mysql_checks as checks
from asyncflow.outbox.dialects.counting import draw_by_insert
from asyncflow.outbox.dialects.heads_by_shard import MOST_SHARDS, heads_by_shard
from asyncflow.outbox.dialects.mysql_sessions import limit_session, read_whole
from asyncflow.outbox.dialects.poolers import Another
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.protocol import HeadsOf, LaneNumbers, Limited, SessionLimits
from asyncflow.outbox.dialects.skip_scan import among_types

_LOCK_WAIT_TIMEOUT, _DEADLOCK, _CHANGED_SINCE_READ = 1205, 1213, 1020
_NO_SUCH_TABLE, _DEFINED_SINCE_READ = 1146, 1412
_READ_ONLY = frozenset({1290, 1792, 1836})  # --read-only, in a READ ONLY transaction, in read-only mode
# Shutting down, Galera's node that is not synced, a killed connection, offline mode, dropped for inactivity.
_ELSEWHERE = _READ_ONLY | {1053, 1047, 1927, 3032, 4031}
_DUPLICATE = (1062, 1586)
# Of a trigger, and of a CHECK in MySQL and in MariaDB, which drivers take for errors of operation.
_REFUSALS = frozenset({1644, 3819, 4025})
_IN_TRANSACTION = 1  # the flag of the protocol
_MOST_LISTENERS = 10  # that make another error of an error
_ID_BYTES = 16
_MOST_ROWS = 500
_MOST_BYTES = 512 * 1024  # of one statement: half of the smallest max_allowed_packet in use
_NAMED = re.compile(r"%\((\w+)\)s")
_MICROSECOND = timedelta(microseconds=1)
_AS_GIVEN = frozenset({str, int, bytes, type(None)})  # to the driver: nearly all values, looked at without a call


class MySQL:
    """Read heads by MySQL's loose index scan; insert many rows with one multi-row INSERT."""

    # REPEATABLE READ, the default, locks gaps against concurrent inserts and ends in deadlocks.
    isolation_level: str | None = "READ COMMITTED"
    takes_named_types = True
    joins_lanes = True
    limits_each_lane = False  # LATERAL is unknown to MariaDB, and to MySQL before 8
    locks_rows = True
    errors_end_transactions = False
    oldest_transactions: str | None = (
        "SELECT trx_mysql_thread_id, trx_started, trx_rows_locked, trx_query FROM information_schema.innodb_trx "
        "ORDER BY trx_started LIMIT 5"
    )
    sends_rows_at_once = True

    def heads(self, tasks: Table, status: int, *, newest: bool = False, of: HeadsOf = "all_types") -> Select[Any]:
        """Return the heads statement.

        ``status`` stands in the GROUP BY although it is constant: without it the optimizer reads all rows. GROUP BY
        gives no order; the one that is asked for is that in which the index is read, so nothing is sorted.
        """
        of_lane = func.max if newest else func.min
        first = of_lane(tasks.c.order_time, type_=tasks.c.order_time.type)
        lane = (tasks.c.status, tasks.c.task_type, tasks.c.shard)
        heads = (
            select(tasks.c.task_type, tasks.c.shard, seconds_until(first), moment_of(first))
            .where(tasks.c.status == status, *among_types(tasks, of))
            .group_by(*lane)
        )
        return heads if newest else heads.order_by(*lane)

    def heads_of_type(self, tasks: Table, status: int, shards: int) -> Executable:
        """Return the heads by shard, and those beyond these by the loose scan, as there are none or few."""
        scanned = self.heads(tasks, status, of="its_type").order_by(None)
        if shards > MOST_SHARDS:
            return scanned
        return union_all(heads_by_shard(tasks, status, shards), scanned.where(tasks.c.shard >= shards))

    def types(self, tasks: Table, status: int) -> Executable:
        """Return the statement, a loose index scan like that of the heads."""
        t = tasks.c
        of_type = (t.status, t.task_type)
        return select(t.task_type).where(t.status == status).group_by(*of_type).order_by(*of_type)

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join the selects by UNION ALL, which needs no temporary table here: each is sent when it has been run."""
        return union_all(*selects) if len(selects) > 1 else selects[0]

    def lanes(self, tasks: Table, due: Select[Any], numbers: LaneNumbers) -> Select[Any] | None:
        """Return the rows by one scan of several ranges, which stand in the index as they are ordered."""
        t = tasks.c
        return due.where(t.shard.in_([numbers.shards])).order_by(t.shard, t.order_time, t.id).limit(numbers.limit)

    def joined(self, pages: Sequence[str]) -> str:
        """Join the texts of page selects as ``pages`` does."""
        return "(" + ") UNION ALL (".join(pages) + ")" if len(pages) > 1 else pages[0]

    def insert_absent(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert, and know the error of a duplicate key, which undoes the statement and leaves the transaction.

        IGNORE would hide other errors, too, and alter what the column cannot hold; ON DUPLICATE KEY UPDATE counts a
        row that was there like a new one, for SQLAlchemy has the server count what it found.
        """
        absent = list({tuple(row[key.name] for key in table.primary_key): row for row in rows}.values())
        while absent:
            try:
                _insert(connection, table, absent)
                return len(absent)
            except Exception as error:
                if not _is_duplicate(error):
                    raise
            # Anew for what others insert or delete between two statements.
            absent = _absent(connection, table, absent) if len(absent) > 1 else []
        return 0

    def insert_and_hold(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert, and change nothing where a key is there: that InnoDB locks alone, after an error it shares it."""
        some = next(column for column in table.c if not column.primary_key)
        statement = upsert(table).values([dict(row) for row in rows])
        connection.execute(statement.on_duplicate_key_update({some.name: some}))

    def draw(self, connection: Connection, turns: Table) -> int:
        """Draw an AUTO_INCREMENT number: concurrent transactions wait for none of each other's."""
        return draw_by_insert(connection, turns)

    def catch_up(self, connection: Connection, turns: Table) -> None:
        """Insert the database's now; nothing if it was drawn already."""
        # Not IGNORE, which would hide more than the duplicate.
        statement = upsert(turns).values(number=now_in_microseconds())
        connection.execute(statement.on_duplicate_key_update(number=turns.c.number))

    def insert_many(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        statement: Insert | None = None,
    ) -> None:
        """Insert in multi-row statements.

        PyMySQL's own executemany falls back to a statement a row when VALUES holds a function, as ours does.
        """
        statement = insert(table) if statement is None else statement
        prefix, values, columns = _insert_parts(statement, tuple(rows[0]), connection.dialect)
        if not rows[0].keys() >= set(columns):  # a column of the application's has a default that Python makes
            connection.execute(statement, [dict(row) for row in rows])
            return
        for chunk in _chunks(rows):
            given = (row[column] for row in chunk for column in columns)
            parameters = tuple([value if type(value) in _AS_GIVEN else _bound(value) for value in given])
            connection.exec_driver_sql(prefix + ", ".join([values] * len(chunk)), parameters)

    def limit_session(self, driver_connection: Any, dialect: Any, limits: SessionLimits) -> Limited:
        """Set variables of the session, and keep their old values in variables of the user's."""
        return limit_session(driver_connection, dialect, limits)

    def read_whole(self, driver_connection: Any) -> Callable[[], None]:
        """Set variables of the session that cut reads short, and those that change how a table is described."""
        return read_whole(driver_connection)

    def skips_locked(self, dialect: Any) -> bool:
        """Know MariaDB from 10.6, MySQL from 8.0."""
        least = (10, 6) if getattr(dialect, "is_mariadb", False) else (8,)
        return bool(dialect.server_version_info and tuple(dialect.server_version_info) >= least)

    def text_fault(self, connection: Connection, text: str) -> str | None:
        """Let the server tell the bytes that it got, and send some itself."""
        return checks.text_fault(connection, text)

    def table_faults(self, connection: Connection, tables: Sequence[Table]) -> list[AsyncflowError]:
        """Know tables of an engine without transactions, and columns of another character set."""
        return checks.table_faults(connection, tables)

    def server_fault(self, connection: Connection, longest_value: int) -> AsyncflowError | None:
        """Know binary logs that take no READ COMMITTED, and packets that are too small."""
        return checks.server_fault(connection, longest_value)

    def pooler_fault(self, connection: Connection, another: Another) -> AsyncflowError | None:
        """Find none: its drivers prepare nothing, and its poolers keep what a session has set."""
        return None

    def plan_anew(self, driver_connection: Any) -> Callable[[], None]:
        """Do nothing: its drivers prepare nothing by themselves."""
        return lambda: None

    def in_binary(self, driver_connection: Any) -> AbstractContextManager[None]:
        """Do nothing: its drivers give bytes as they are."""
        return nullcontext()

    def in_index_order(self, connection: Connection) -> None:
        """Do nothing: the planner looks into the index itself."""

    def correct_statistics(self, connection: Connection, table: Table, rows: int) -> None:
        """Do nothing: the planner counts in the index itself."""

    def among(self, raw_ids: Iterable[Any]) -> str:
        """Write binary literals."""
        # All at once: a call for each of thousands takes longer than all else that is written here.
        literals = b"".join(raw_ids).hex(",", _ID_BYTES).replace(",", ",0x")
        return f"IN ({'0x' + literals if literals else 'NULL'})"

    def is_refusal(self, error: DBAPIError) -> bool:
        """Know broken constraints, values that no column takes, and what triggers raise."""
        return isinstance(error, (IntegrityError, DataError)) or _code_of(error) in _REFUSALS

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Know missing tables, and those that were made after the view of a REPEATABLE READ."""
        return _code_of(error) in (_NO_SUCH_TABLE, _DEFINED_SINCE_READ)

    def begin_before_savepoint(self, connection: Connection) -> None:
        """Do nothing: a savepoint is part of the transaction."""

    def has_undone(self, connection: Connection) -> bool:
        """Ask the server: a deadlock ends the whole transaction, and what follows begins another one."""
        if getattr(connection.dialect, "is_mariadb", False):
            return not connection.exec_driver_sql("SELECT @@in_transaction").scalar()
        connection.exec_driver_sql("SELECT 1")  # MySQL tells it with each answer, of which not every driver tells
        flags = getattr(connection.connection.driver_connection, "server_status", None)
        return isinstance(flags, int) and not flags & _IN_TRANSACTION

    def has_changed(self, connection: Connection) -> bool:
        """Return False: nothing tells it to who has no right to look at all transactions."""
        return False

    def is_contention(self, error: DBAPIError) -> bool:
        """Know deadlocks, lock waits and MariaDB's snapshot conflicts."""
        return _code_of(error) in (_LOCK_WAIT_TIMEOUT, _DEADLOCK, _CHANGED_SINCE_READ)

    def is_lock_wait(self, error: DBAPIError) -> bool:
        """Know InnoDB's lock waits, and those for metadata."""
        return _code_of(error) == _LOCK_WAIT_TIMEOUT

    def is_elsewhere(self, error: DBAPIError) -> bool:
        """Know servers that are read-only, shut down or have left their cluster."""
        return _code_of(error) in _ELSEWHERE

    def is_refused_write(self, error: DBAPIError) -> bool:
        """Know read-only servers."""
        return _code_of(error) in _READ_ONLY


def _code_of(error: DBAPIError) -> int | None:
    return number_of(error.orig)


def _is_duplicate(error: BaseException) -> bool:
    """Know the error also behind one that a listener of the application's ("handle_error") has made of it."""
    behind: BaseException | None = error
    for _ in range(_MOST_LISTENERS):
        if behind is None:
            break
        if number_of(getattr(behind, "orig", behind)) in _DUPLICATE:
            return True
        behind = behind.__cause__
    return False


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if len(rows) == 1:
        connection.execute(insert(table), dict(rows[0]))
    else:
        # In one VALUES: PyMySQL's executemany would send a statement a row, for ours holds a function.
        connection.execute(insert(table).values([dict(row) for row in rows]))


def _absent(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows whose keys are not there; a locking read sees what others committed meanwhile."""
    keys = list(table.primary_key)
    by_key = {tuple(row[key.name] for key in keys): row for row in rows}
    # With all columns: keys alone the server may read from an index as a whole, and lock all that it reads.
    there = select(table).where(tuple_(*keys).in_(list(by_key))).with_for_update(read=True)
    for found in connection.execute(by_primary_key(there)).mappings():
        by_key.pop(tuple(found[key] for key in keys), None)
    return list(by_key.values())


@lru_cache(maxsize=32)
def _insert_parts(statement: Insert, columns: tuple[str, ...], dialect: Dialect) -> tuple[str, str, tuple[str, ...]]:
    """Return the statement up to VALUES, the group of one row with %s for each value, and the values' order."""
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(columns))
    prefix, _, values = str(compiled).partition(" VALUES ")
    if compiled.positional:
        return prefix + " VALUES ", values, tuple(compiled.positiontup)
    return prefix + " VALUES ", _NAMED.sub("%s", values), tuple(_NAMED.findall(values))


def _bound(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).replace(tzinfo=None)
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

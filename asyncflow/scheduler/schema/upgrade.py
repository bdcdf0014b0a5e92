"""The upgrade of a schema: what is safe is run, and nobody who writes waits long for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.protocol import SessionLimits
from asyncflow.outbox.dialects.schema.choose import schema_dialect_of
from asyncflow.outbox.dialects.schema.protocol import SchemaDialect
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import Limits
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.scheduler.schema import queries
from asyncflow.scheduler.schema.beside import NOBODY, Beside
from asyncflow.scheduler.schema.check import tables_of
from asyncflow.scheduler.schema.difference import SchemaOperation
from asyncflow.text import on_one_line

_ATTEMPTS, _PAUSE_SECONDS = 5, 1.0
# Who waits for an exclusive lock keeps all others waiting behind it.
_LOCK_WAIT_SECONDS = 1
_SESSION = SessionLimits(
    lock_wait_seconds=_LOCK_WAIT_SECONDS, statement_seconds=0, idle_transaction_seconds=60, user_timeout_seconds=60
)
_LIMITS = Limits(silence_seconds=6 * 3600.0)  # for one statement: an index of a large table is long in the making
_BESIDE = "CONCURRENTLY"
_BESIDE_LOCK_WAIT = "SET lock_timeout = '10min'"  # it waits for open transactions, and nobody behind it
_WAITS = (
    "it has more than 10,000 rows, and whoever writes would wait as long as this takes: run it in a quiet time, by "
    "`asyncflow schema upgrade --in-quiet-time`"
)
_LOCKED = (
    f"the lock was not to be had within {_LOCK_WAIT_SECONDS} s, {_ATTEMPTS} times: a transaction is open that uses the "
    f"table; try again when it has ended"
)
_NULLS = "rows have NULL in {name}: give them a value, or delete them, and run it again"


class Upgraded(NamedTuple):
    """Tell what became of an operation: ``left`` is why it was not run, or not to the end."""

    operation: SchemaOperation
    left: str | None


class Upgrade:
    """Run operations, each by itself; used by one thread.

    ``beside`` tells of what would break for instances that run.
    """

    def __init__(self, engine: Engine, outbox: Outbox, *, in_quiet_time: bool = False, beside: Beside = NOBODY) -> None:
        self._engine = engine
        self._dialect = dialect_of(engine.dialect.name)
        self._tables: dict[str, Table] = {table.fullname: table for table in tables_of(outbox)}
        self._in_quiet_time = in_quiet_time
        self._beside = beside

    def refusal(self, operation: SchemaOperation) -> str | None:
        """Return why an operation is not run, as far as can be told without a try."""
        return self._refusal(operation) or self._beside.refusal(operation) or self._nulls(operation)

    def _refusal(self, operation: SchemaOperation) -> str | None:
        tells = schema_dialect_of(self._engine.dialect).tells_duration
        if operation.refused is None and operation.keeps_waiting and operation.is_large and not tells:
            return None if self._in_quiet_time else _WAITS
        return operation.refused

    def run(self, operation: SchemaOperation) -> Upgraded:
        """Run one operation, unless it is refused. Raises what is raised where the database cannot be reached."""
        return Upgraded(operation, self.refusal(operation) or self._run(operation))

    def _nulls(self, operation: SchemaOperation) -> str | None:
        if not operation.without_null:
            return None
        with connected(self._engine, _LIMITS) as connection:
            for name in operation.without_null:
                statement = queries.with_null(self._tables[operation.table], name)
                if connection.execute(statement).scalar() is not None:
                    return _NULLS.format(name=name)
        return None

    def _run(self, operation: SchemaOperation) -> str | None:
        for unit in _units(operation.sql, self._engine.dialect.name):
            if left := self._run_unit(operation, unit):
                return left
        return None

    def _run_unit(self, operation: SchemaOperation, unit: list[str]) -> str | None:
        """Run what is one transaction; what finds a lock taken lets go, and comes again."""
        for attempt in range(_ATTEMPTS):
            time.sleep(_PAUSE_SECONDS if attempt else 0)
            try:
                return self._execute(operation, unit)
            except DBAPIError as error:
                if is_lost(error, self._dialect):
                    raise
                if not (self._dialect.is_lock_wait(error) or self._dialect.is_contention(error)):
                    return f"the database answered: {on_one_line(error.orig)}"
        return _LOCKED

    def _execute(self, operation: SchemaOperation, unit: list[str]) -> str | None:
        with self._session() as (connection, schema, at_begin):
            beside = any(_BESIDE in statement for statement in unit)
            if beside:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                if at_begin is None:  # else the session is somebody else's by the next statement
                    connection.exec_driver_sql(_BESIDE_LOCK_WAIT)
            elif at_begin is not None:
                connection.exec_driver_sql(at_begin)
            elif schema.rebuilds and not _is_begun(connection):
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            for statement in unit:
                if not self._send(connection, schema, operation, statement):
                    return _WAITS
            connection.commit()
        return None

    def _send(self, connection: Connection, schema: SchemaDialect, operation: SchemaOperation, statement: str) -> bool:
        """Send one statement, and return whether it was run; where the server can tell, it keeps no writer waiting."""
        unhurried = schema.unhurried(statement)
        try:
            connection.exec_driver_sql(unhurried)
        except DBAPIError as error:
            if not schema.is_hurry(error):
                raise
            if operation.is_large and not self._in_quiet_time:
                return False
            connection.exec_driver_sql(statement)
        return True

    @contextmanager
    def _session(self) -> Iterator[tuple[Connection, SchemaDialect, str | None]]:
        """Give a connection with limits, which nobody gets after us, and what is to begin a transaction on it."""
        with connected(self._engine, _LIMITS) as connection:
            schema, driver = schema_dialect_of(connection.dialect), connection.connection.driver_connection
            try:
                limited = self._dialect.limit_session(driver, connection.dialect, _SESSION)
                for statement in schema.guard():
                    _run_apart(driver, statement)
                yield connection, schema, limited.at_begin
            finally:
                connection.invalidate()


def _units(sql: tuple[str, ...], dialect: str) -> list[list[str]]:
    """Return what is run together: where a change of a table can be rolled back, all of it."""
    if dialect in ("mysql", "mariadb") or any(_BESIDE in statement for statement in sql):
        return [[statement] for statement in sql]
    return [list(sql)]


def _is_begun(connection: Connection) -> bool:
    """Tell whether the driver has begun a transaction, as some applications have it do."""
    return bool(getattr(connection.connection.driver_connection, "in_transaction", False))


def _run_apart(driver_connection: Any, statement: str) -> None:
    """Run a statement by the driver's own cursor, outside of a transaction that SQLAlchemy would begin."""
    cursor = driver_connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()

"""The run side's own connection: short transactions, run again when they lose against another one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from sqlalchemy import Connection, Engine, NullPool
from sqlalchemy.exc import DBAPIError

from asyncflow.forks import keep_for_ever, leave_at_fork
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.connecting import connect_plainly, connect_within, end_connection
from asyncflow.outbox.lines.limits import LIMITS, Limits
from asyncflow.outbox.lines.line import Line
from asyncflow.scheduler.connections.engine_check import require_connection, require_connections_of_its_own
from asyncflow.scheduler.connections.inherited_pools import adopt
from asyncflow.scheduler.connections.moves import has_moved_since, is_left, moved_at, note_move
from asyncflow.scheduler.connections.sqlite_calls import sqlite_calls
from asyncflow.scheduler.connections.stepping_over import LockMet, leave_out

T = TypeVar("T")
_ATTEMPTS = 10
_LONGEST_BACKOFF_SECONDS = 0.5
_LOCK_WAITS = 3  # in a row, of those that have no other way than to wait
_LOCK_SEARCHES = 3  # each for one lock; then what was not tried is left out as well
_MOST_PATIENCE = 16  # times the limit
_CLOSE_SECONDS = 2.0


class Database:
    """Hold one connection for one loop; used by one thread at a time, usable again after ``close``.

    Kept between transactions, or in a ``with`` given back at its end: a check-out, its isolation level and the reset at
    its return would cost five round trips each time. With ``autocommit`` each statement is a transaction by itself,
    which saves the COMMIT.

    Nothing is waited for without a limit: its session has short lock waits, and a connection of which nothing comes is
    cut. What is set on a connection is put back before the pool gets it again.
    """

    def __init__(self, engine: Engine, *, autocommit: bool = False, limits: Limits = LIMITS) -> None:
        adopt(engine)
        self.engine = engine
        self._limits = limits
        self.dialect = dialect_of(engine.dialect.name)
        # SQLite's COMMIT is no round trip, and an application's listener of "begin" may have opened a transaction.
        self._autocommit = autocommit and self.dialect.locks_rows
        self._connection: Connection | None = None
        self._line: Line | None = None
        self._undo: list[Callable[[], None]] = []
        self._at_begin: str | None = None
        self._taken_at = 0.0
        self._patience = 1
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Forget the connection: collected, it would roll back what the parent does on it."""
        if self._connection is not None:
            keep_for_ever((self._connection, self._line))
        self._connection = self._line = self._at_begin = None
        self._undo = []

    @property
    def skips_locked(self) -> bool:
        """Tell whether rows that others have locked can be stepped over: by the server, or as ``run`` finds them."""
        return self.dialect.locks_rows

    def run(self, work: Callable[[Connection], T], when_locked: Callable[[Connection], T] | None = None) -> T:
        """Run ``work`` in a transaction and commit; after a deadlock or lock wait, run it again.

        After a lock wait, ``when_locked`` is run in its place: what waits for nobody. Raises what the database raises
        otherwise; the next call then begins with a fresh connection.
        """
        waits = searches = 0
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._run_once(work)
            except LockMet as met:
                if attempt == _ATTEMPTS:
                    raise
                searches += 1
                leave_out(self.engine, met, untried=searches >= _LOCK_SEARCHES)
                continue
            except DBAPIError as error:
                is_wait = self.dialect.is_lock_wait(error)
                waits += is_wait
                if attempt == _ATTEMPTS or waits == _LOCK_WAITS or not self._may_run_again(error):
                    raise
            if is_wait and when_locked is not None:
                work = when_locked
            # Jitter, so that two that met do not meet again.
            time.sleep(random.uniform(0, min(0.005 * 2**attempt, _LONGEST_BACKOFF_SECONDS)))
        raise AssertionError("unreachable")

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back as it was; there is nothing to lose on one that the server has dropped."""
        connection, self._connection = self._connection, None
        line, self._line = self._line, None
        if connection is None:
            return
        try:
            if not self.dialect.locks_rows:
                with sqlite_calls.one():
                    self._give_back(connection)
            elif line is None:
                self._give_back(connection)
            else:
                with line.within(_CLOSE_SECONDS):
                    self._give_back(connection)
        finally:
            if line is not None:
                line.close()

    def _may_run_again(self, error: DBAPIError) -> bool:
        return self.dialect.is_contention(error) or self.dialect.is_refused_write(error)

    def _run_once(self, work: Callable[[Connection], T]) -> T:
        line = None
        try:
            if self._connection is not None and moved_at and has_moved_since(self.engine, self._taken_at):
                self._drop()
            if not self.dialect.locks_rows:
                with sqlite_calls.one():
                    return self._transact(self._connection or self._open(), work)
            connection = self._connection or self._open()
            line = self._line
            if line is None:
                return self._transact(connection, work)
            with line.within(self._limits.silence_seconds * self._patience):
                done = self._transact(connection, work)
            self._patience = 1
            return done
        except BaseException as error:
            if line is not None and line.was_cut:
                # It may be slow, and not silent: what takes long is given longer.
                self._patience = min(2 * self._patience, _MOST_PATIENCE)
            self._leave_after(error)
            raise

    def _transact(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        if self._autocommit:
            return work(connection)
        with connection.begin():
            if self._at_begin is not None:
                connection.exec_driver_sql(self._at_begin)
            return work(connection)

    def _leave_after(self, error: BaseException) -> None:
        """Give the connection back, or throw it away if its server is not the one to be asked any more."""
        if isinstance(error, DBAPIError) and self.dialect.is_elsewhere(error):
            note_move(self.engine)
            self._drop()
        elif self._line is not None and self._line.was_cut:
            self._drop()
        elif isinstance(error, LockMet) or (self.dialect.locks_rows and self._lost_against_another(error)):
            pass  # rolled back, and the connection is as good as before
        else:
            self.close()

    def _lost_against_another(self, error: BaseException) -> bool:
        return isinstance(error, DBAPIError) and self.dialect.is_contention(error) and not error.connection_invalidated

    def _drop(self) -> None:
        """End the connection without a word, and let the pool open another one."""
        connection, self._connection = self._connection, None
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if connection is not None:
            end_connection(connection)

    def _open(self) -> Connection:
        connection = self._connect()
        try:
            return self._prepare(connection)
        except BaseException:
            self._connection = self._connection or connection
            self._drop()
            raise

    def _connect(self) -> Connection:
        require_connections_of_its_own(self.engine)
        if not self.dialect.locks_rows:
            return connect_plainly(self.engine)  # a file; and one in memory belongs to its thread
        while True:
            asked_at = time.time()
            connection = connect_within(self.engine, self._limits.connect_seconds)
            if not is_left(self.engine, connection, asked_at):
                return connection
            end_connection(connection)

    def _prepare(self, connection: Connection) -> Connection:
        """Set the session up, with the connection watched from the first statement on."""
        driver = connection.connection.driver_connection
        self._connection, self._taken_at = connection, time.monotonic()
        if not self.dialect.locks_rows:
            return self._isolated(connection)
        self._line = Line(driver)
        with self._line.within(self._limits.silence_seconds * self._patience):
            connection = self._isolated(connection)
            limited = self.dialect.limit_session(driver, self.engine.dialect, self._limits.session)
        self._undo = [limited.undo, self.dialect.plan_anew(driver)]
        self._at_begin = limited.at_begin
        return connection

    def _isolated(self, connection: Connection) -> Connection:
        require_connection(connection)
        level = "AUTOCOMMIT" if self._autocommit else self.dialect.isolation_level
        return connection.execution_options(isolation_level=level) if level else connection

    def _give_back(self, connection: Connection) -> None:
        undo, self._undo = self._undo, []
        try:
            if not isinstance(self.engine.pool, NullPool):  # which ends the connection, and its session
                for step in undo:
                    step()
        except Exception:  # noqa: BLE001 - the drivers' own errors: a session that cannot be put back is ended
            end_connection(connection)
            return
        try:
            connection.close()
        except Exception:  # noqa: BLE001 - the driver's own error, from resetting a session that is no more
            end_connection(connection)

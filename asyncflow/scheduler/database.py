"""The run side's own connection: short transactions, run again when they lose against another one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects import dialect_of

T = TypeVar("T")
_ATTEMPTS = 10
_LONGEST_BACKOFF_SECONDS = 0.5


class Database:
    """Hold one connection for one loop; used by one thread at a time, usable again after ``close``.

    Kept between transactions: a check-out, its isolation level and the reset at its return would cost five
    round trips each time. With ``autocommit`` each statement is a transaction by itself, which saves the COMMIT.
    """

    def __init__(self, engine: Engine, *, autocommit: bool = False) -> None:
        self.engine = engine
        self._autocommit = autocommit
        self.dialect = dialect_of(engine.dialect.name)
        self._connection: Connection | None = None
        self._undo: Callable[[], None] = lambda: None

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction and commit; after a deadlock or lock wait, run it again.

        Raises what the database raises otherwise; the next call then begins with a fresh connection.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._run_once(work)
            except DBAPIError as error:
                if attempt == _ATTEMPTS or not self.dialect.is_contention(error):
                    raise
            # Jitter, so that two that met do not meet again.
            time.sleep(random.uniform(0, min(0.005 * 2**attempt, _LONGEST_BACKOFF_SECONDS)))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Give the connection back; there is nothing to lose on one that the server has dropped."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._undo()
            with suppress(DBAPIError):
                connection.close()

    def _run_once(self, work: Callable[[Connection], T]) -> T:
        try:
            connection = self._connection or self._open()
            if self._autocommit:
                return work(connection)
            with connection.begin():
                return work(connection)
        except BaseException:
            self.close()
            raise

    def _open(self) -> Connection:
        connection = self.engine.connect()
        if self.dialect.isolation_level:
            connection = connection.execution_options(isolation_level=self.dialect.isolation_level)
        if self._autocommit:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        self._undo = self.dialect.plan_anew(connection.connection.driver_connection)
        self._connection = connection
        return connection

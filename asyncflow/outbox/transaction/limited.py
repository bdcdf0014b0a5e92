"""Transactions of upkeep on the application's engine: none waits long for a lock, or keeps others waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import OF_A_LOOK, SESSION


@contextmanager
def limited(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction, committed at the end of the block, on a connection whose session waits a second for a lock.

    The session is put back as it was; one that cannot be is ended. Raises ConnectionSilentError if nothing comes of
    the connection, and what the database raises.
    """
    dialect = dialect_of(engine.dialect.name)
    with connected(engine, OF_A_LOOK) as connection:
        if not dialect.locks_rows:
            with connection.begin():
                yield connection
            return
        connection.execution_options(isolation_level=dialect.isolation_level or "READ COMMITTED")
        driver = connection.connection.driver_connection
        session = dialect.limit_session(driver, engine.dialect, SESSION)
        try:
            with connection.begin():
                if session.at_begin is not None:
                    connection.exec_driver_sql(session.at_begin)
                yield connection
        finally:
            try:
                if not connection.invalidated:
                    session.undo()
            except Exception:  # noqa: BLE001 - the driver's own error: nobody is to get such a session
                connection.invalidate()

"""What stands between us and PostgreSQL: a pooler that gives each transaction another session, and what it breaks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, text

from asyncflow.errors import AsyncflowError, UnsupportedDatabaseError

Another = Callable[[], AbstractContextManager[Connection]]  # opens one more connection of the same engine
_LOOKS = 3
_PID = text("SELECT pg_backend_pid()")
_BETWEEN = "a pooler stands between, such as PgBouncer, that gives each transaction another session of the server"
_SESSION_MODE = "or let the pooler keep sessions (pool_mode=session)"
# psycopg prepares the very statement that asks; where a pooler keeps what is prepared, the name is the pooler's.
_PREPARED = "SELECT name FROM pg_prepared_statements WHERE name LIKE '\\_pg3\\_%'"


def told_pid(driver_connection: Any) -> int | None:
    """Return the process that the driver believes to be connected to; a pooler gives it a number of its own."""
    info = getattr(driver_connection, "info", None)  # psycopg, psycopg2
    pid = getattr(info, "backend_pid", None)
    if pid is None and (key := getattr(driver_connection, "_backend_key_data", None)):  # pg8000
        pid = int.from_bytes(key[:4], "big", signed=True)
    return pid if isinstance(pid, int) else None


def pooler_fault(connection: Connection, another: Another) -> AsyncflowError | None:
    """Return why this driver, as it is set, cannot work through the pooler between; None if it can, or there is none.

    No transaction is open afterwards.
    """
    told, pid = told_pid(connection.connection.driver_connection), _pid(connection)
    if told is None or told == pid:
        return None
    with another() as other:
        if not _share_sessions(connection, other):
            return None
    if connection.dialect.driver == "pg8000":
        return UnsupportedDatabaseError(
            f"{_BETWEEN}, and pg8000 sends a statement apart from its values, which may meet another one there; use "
            f"psycopg (postgresql+psycopg://...), {_SESSION_MODE}"
        )
    if connection.dialect.driver == "psycopg" and _prepares_in_vain(another):
        return UnsupportedDatabaseError(
            f"{_BETWEEN}, and does not keep what psycopg prepares there; create_engine(..., "
            f"connect_args={{'prepare_threshold': None}}), {_SESSION_MODE}, or let it keep them "
            f"(max_prepared_statements, since PgBouncer 1.21)"
        )
    return None


def _pid(connection: Connection) -> int:
    pid: int = connection.execute(_PID).scalar_one()
    connection.rollback()
    return pid


def _share_sessions(one: Connection, other: Connection) -> bool:
    """Tell whether one of two connections has had several sessions, or both have had the same."""
    of_one, of_other = set[int](), set[int]()
    for _ in range(_LOOKS):
        of_one.add(_pid(one))
        of_other.add(_pid(other))
    return len(of_one) > 1 or len(of_other) > 1 or not of_one.isdisjoint(of_other)


def _prepares_in_vain(another: Another) -> bool:
    """Tell whether psycopg prepares statements by itself, and the pooler leaves them where others come by."""
    with another() as connection:
        driver: Any = connection.connection.driver_connection
        if driver.prepare_threshold is None:
            return False
        try:
            with driver.cursor() as cursor:
                left = [name for (name,) in cursor.execute(_PREPARED, prepare=True).fetchall()]
                for name in left:
                    cursor.execute(f'DEALLOCATE "{name}"')
            driver.commit()
        finally:
            connection.invalidate()  # it believes that the statement is still prepared
    return bool(left)

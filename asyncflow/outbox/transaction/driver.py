"""What a database driver's own connection tells of itself, without a question to the server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

_IN_TRANSACTION = 1  # the flag of MySQL's protocol
_IDLE = 0  # libpq's


def commits_by_itself(connection: Connection) -> bool:
    """Tell whether each statement would be committed by itself, whatever SQLAlchemy believes."""
    pooled = connection.connection
    driver, adapter = pooled.driver_connection, pooled.dbapi_connection
    if not (_is_autocommit(driver) or (adapter is not driver and _is_autocommit(adapter))):
        return False
    # A listener of "begin" may open a transaction by a statement, as SQLAlchemy's recipe for pysqlite does; SQLAlchemy
    # begins with the first statement.
    connection.exec_driver_sql("SELECT 1")
    return not _is_in_transaction(driver)


def _is_autocommit(driver: Any) -> bool:
    if (ask := getattr(driver, "get_autocommit", None)) is not None:  # PyMySQL, mysqlclient, asyncmy, aiomysql
        return bool(ask())
    if type(driver).__module__.startswith("mysql.connector"):  # which asks the server, to tell its ``autocommit``
        return bool(driver._autocommit)
    autocommit = getattr(driver, "autocommit", None)
    if isinstance(autocommit, bool):  # psycopg, psycopg2, pg8000, asyncpg's adapter, sqlite3 if told so
        return autocommit
    return hasattr(driver, "in_transaction") and getattr(driver, "isolation_level", "") is None  # sqlite3, aiosqlite


def _is_in_transaction(driver: Any) -> bool:
    if (flags := getattr(driver, "server_status", None)) is not None:
        return bool(flags & _IN_TRANSACTION)
    if (info := getattr(driver, "info", None)) is not None and hasattr(info, "transaction_status"):
        return int(info.transaction_status) != _IDLE
    return bool(getattr(driver, "in_transaction", False) or getattr(driver, "_in_transaction", False))  # pg8000

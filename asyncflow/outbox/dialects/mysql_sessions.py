"""What sessions of MySQL and MariaDB are told while the run side has them: how long to wait, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from asyncflow.driver_errors import number_of
from asyncflow.outbox.dialects.protocol import Limited, SessionLimits

_UNKNOWN_VARIABLE = 1193
_NO_LIMIT = 2**64 - 1  # of rows: the default
# Of a node of Galera: a transaction begins once it has all that others have committed. Elsewhere it does nothing.
_SYNC_WAIT, _OF_ALL_STATEMENTS = "wsrep_sync_wait", 7


def limit_session(driver_connection: Any, dialect: Any, limits: SessionLimits) -> Limited:
    """Set variables of the session, and keep their old values in variables of the user's."""
    values = {"innodb_lock_wait_timeout": limits.lock_wait_seconds, "lock_wait_timeout": limits.lock_wait_seconds}
    # What --safe-updates sets: updates that name rows by more than an index are refused, and reads cut short.
    values |= {"sql_safe_updates": 0, "sql_select_limit": _NO_LIMIT, "sql_big_selects": 1}
    if not getattr(dialect, "is_mariadb", False):
        return _set(driver_connection, values) or Limited()
    values["idle_transaction_timeout"] = limits.idle_transaction_seconds
    of_a_cluster = {**values, _SYNC_WAIT: _OF_ALL_STATEMENTS}
    # The last is for a relative of MySQL that has no such limits.
    return _set(driver_connection, of_a_cluster) or _set(driver_connection, values) or Limited()


def _set(driver_connection: Any, values: Mapping[str, int]) -> Limited | None:
    """Set variables; None if the server does not know one of them, and then none is set."""
    kept = ", ".join(f"@asyncflow_{name} = @@SESSION.{name}" for name in values)
    try:
        _run(driver_connection, f"SET {kept}, " + ", ".join(f"@@SESSION.{n} = {v}" for n, v in values.items()))
    except Exception as error:
        if number_of(error) != _UNKNOWN_VARIABLE:
            raise
        return None
    undo = "SET " + ", ".join(f"@@SESSION.{name} = @asyncflow_{name}" for name in values)
    return Limited(partial(_run, driver_connection, undo))


def _run(driver_connection: Any, statement: str) -> None:
    cursor = driver_connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()

"""What sessions of MySQL and MariaDB are told while the run side has them: how long to wait, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from asyncflow.driver_errors import number_of
from asyncflow.outbox.dialects.protocol import Limited, SessionLimits

_UNKNOWN_VARIABLE = 1193
_NO_LIMIT = 2**64 - 1  # of rows: the default
# What --safe-updates sets: updates that name rows by more than an index are refused, and reads cut short.
_SAFE_UPDATES = {"sql_safe_updates": 0, "sql_select_limit": _NO_LIMIT, "sql_big_selects": 1}
# A session's own that change how a table is described: names are read by their quotes, and NULL is compared with.
_DESCRIBING = {"sql_auto_is_null": 0, "sql_quote_show_create": 1}
# Of a node of Galera: a transaction begins once it has all that others have committed. Elsewhere it does nothing.
_SYNC_WAIT, _OF_ALL_STATEMENTS = "wsrep_sync_wait", 7
# Loops keep their connections from one look to the next, however soon the server ends those that idle.
_LONG_IDLE = {"wait_timeout": 28_800}  # the default
_MILLISECONDS = 1000


def limit_session(driver_connection: Any, dialect: Any, limits: SessionLimits) -> Limited:
    """Set variables of the session, and keep their old values in variables of the user's."""
    waits = limits.lock_wait_seconds
    values: dict[str, int] = {"innodb_lock_wait_timeout": waits, "lock_wait_timeout": waits}
    values |= {**_SAFE_UPDATES, **_LONG_IDLE}
    # One that ends a statement before its wait for a lock does would hide that a lock is what it waits for.
    if not getattr(dialect, "is_mariadb", False):
        of_reads = {**values, "max_execution_time": limits.statement_seconds * _MILLISECONDS}
        return _set(driver_connection, of_reads) or _set(driver_connection, values) or Limited()
    values["max_statement_time"] = limits.statement_seconds
    values["idle_transaction_timeout"] = limits.idle_transaction_seconds
    of_a_cluster = {**values, _SYNC_WAIT: _OF_ALL_STATEMENTS}
    # The last is for a relative of MySQL that has no such limits.
    return _set(driver_connection, of_a_cluster) or _set(driver_connection, values) or Limited()


def read_whole(driver_connection: Any) -> Callable[[], None]:
    """Let reads of the session be whole, and descriptions of tables as they are read; return what puts it back."""
    whole = _set(driver_connection, {**_SAFE_UPDATES, **_DESCRIBING}, kept_as="asyncflow_whole")
    return (whole or Limited()).undo


def _set(driver_connection: Any, values: Mapping[str, int], kept_as: str = "asyncflow") -> Limited | None:
    """Set variables; None if the server does not know one of them, and then none is set.

    What is set within what was set before is ``kept_as`` something else.
    """
    kept = ", ".join(f"@{kept_as}_{name} = @@SESSION.{name}" for name in values)
    try:
        _run(driver_connection, f"SET {kept}, " + ", ".join(f"@@SESSION.{n} = {v}" for n, v in values.items()))
    except Exception as error:
        if number_of(error) != _UNKNOWN_VARIABLE:
            raise
        return None
    undo = "SET " + ", ".join(f"@@SESSION.{name} = @{kept_as}_{name}" for name in values)
    return Limited(partial(_run, driver_connection, undo))


def _run(driver_connection: Any, statement: str) -> None:
    cursor = driver_connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()

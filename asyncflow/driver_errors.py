"""What a driver's error says: the server's number or its SQLSTATE, wherever the driver keeps it."""

from __future__ import annotations

_STATE_OF_PG8000 = "C"  # PostgreSQL's own letter for it in an answer of its protocol


def number_of(error: BaseException | None) -> int | None:
    """Return the number of an error of MySQL's or MariaDB's; None if it has none.

    It stands first in those of PyMySQL, mysqlclient, mysql-connector, asyncmy and aiomysql.
    """
    first = error.args[0] if error is not None and error.args else None
    return first if isinstance(first, int) else None


def state_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of an error of a server; None if it has none.

    Psycopg and asyncpg have it as ``sqlstate``, psycopg2 as ``pgcode``, pg8000 in the fields of the server's answer.
    """
    told = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if told is None and error is not None and error.args and isinstance(error.args[0], dict):
        told = error.args[0].get(_STATE_OF_PG8000)
    return told if isinstance(told, str) else None


def code_of(error: BaseException | None) -> int | str | None:
    """Return the number, or else the SQLSTATE: those of MySQL that tell both say less by the latter."""
    number = number_of(error)
    return state_of(error) if number is None else number

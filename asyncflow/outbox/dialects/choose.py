"""The choice of the dialect, by the name SQLAlchemy gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from asyncflow.errors import UnsupportedDatabaseError
from asyncflow.outbox.dialects.mysql import MySQL
from asyncflow.outbox.dialects.postgresql import PostgreSQL
from asyncflow.outbox.dialects.protocol import DatabaseDialect
from asyncflow.outbox.dialects.sqlite import SQLite


class _Dialects(dict[str, DatabaseDialect]):
    """Hold the implementations by SQLAlchemy's names of dialects; raise UnsupportedDatabaseError for any other."""

    def __missing__(self, name: str) -> NoReturn:
        known = ", ".join(sorted(self))
        raise UnsupportedDatabaseError(f"the database {name!r} is not supported; use one of {known}")


# Asked for nearly each statement, so without a call in Python.
dialect_of: Callable[[str], DatabaseDialect] = _Dialects(
    mysql=MySQL(), mariadb=MySQL(), postgresql=PostgreSQL(), sqlite=SQLite()
).__getitem__

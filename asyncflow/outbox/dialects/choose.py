"""The choice of the dialect, by the name SQLAlchemy gives it."""

from __future__ import annotations

from asyncflow.errors import UnsupportedDatabaseError
from asyncflow.outbox.dialects.mysql import MySQL
from asyncflow.outbox.dialects.postgresql import PostgreSQL
from asyncflow.outbox.dialects.protocol import DatabaseDialect
from asyncflow.outbox.dialects.sqlite import SQLite

_DIALECTS: dict[str, DatabaseDialect] = {
    "mysql": MySQL(),
    "mariadb": MySQL(),
    "postgresql": PostgreSQL(),
    "sqlite": SQLite(),
}


def dialect_of(name: str) -> DatabaseDialect:
    """Return the implementation for SQLAlchemy's dialect ``name``; raises UnsupportedDatabaseError."""
    try:
        return _DIALECTS[name]
    except KeyError:
        known = ", ".join(sorted(_DIALECTS))
        raise UnsupportedDatabaseError(f"the database {name!r} is not supported; use one of {known}") from None

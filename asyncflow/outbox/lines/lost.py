"""Connections that are gone, as the errors of drivers tell it."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects import DatabaseDialect


def is_lost(error: DBAPIError, dialect: DatabaseDialect) -> bool:
    """Tell whether the connection is gone with what was being done on it, of which nobody knows then how it ended.

    SQLAlchemy knows it by the driver's error, but not each: pg8000's and mysql-connector's of a session that the server
    has ended are like any other to it.
    """
    return error.connection_invalidated or (dialect.is_elsewhere(error) and not dialect.is_refused_write(error))

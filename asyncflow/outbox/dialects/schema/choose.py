"""The choice of what reads and changes tables, by the name SQLAlchemy gives the database."""

from __future__ import annotations

from sqlalchemy import Dialect

from asyncflow.errors import UnsupportedDatabaseError
from asyncflow.outbox.dialects.schema.mysql import MySQLSchema
from asyncflow.outbox.dialects.schema.postgresql import PostgreSQLSchema
from asyncflow.outbox.dialects.schema.protocol import SchemaDialect
from asyncflow.outbox.dialects.schema.sqlite import SQLiteSchema


def schema_dialect_of(dialect: Dialect) -> SchemaDialect:
    """Return the implementation for a connection's dialect; raises UnsupportedDatabaseError."""
    if dialect.name in ("mysql", "mariadb"):
        return MySQLSchema(dialect)
    if dialect.name == "postgresql":
        return PostgreSQLSchema(dialect)
    if dialect.name == "sqlite":
        return SQLiteSchema(dialect)
    raise UnsupportedDatabaseError(f"the database {dialect.name!r} is not supported; use MySQL, PostgreSQL or SQLite")

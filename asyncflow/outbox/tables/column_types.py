"""The types of the columns, each the same in what it keeps on every database."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import BINARY, Dialect, LargeBinary, String, Text, Uuid
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

from asyncflow.outbox.task import uuid_of

APPLICATIONS = "asyncflow.applications"  # in a column's info: it is not ours, and its texts decide nothing here
BEFORE = "asyncflow.before"  # in a column's info: what rows have in it that were written before it was there

# A server's default engine may know no transactions.
TRANSACTIONAL: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}


class TaskId(TypeDecorator[uuid.UUID]):
    """Store a UUID in 16 bytes everywhere: BINARY(16), PostgreSQL's own uuid, or SQLite's blob."""

    __module__ = "asyncflow.outbox.tables"  # by which the migrations of applications name it
    impl = BINARY(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use PostgreSQL's uuid, which people can read, and SQLite's blob: to it, BINARY(16) is a number."""
        kinds: dict[str, TypeEngine[Any]] = {"postgresql": Uuid(), "sqlite": LargeBinary()}
        return dialect.type_descriptor(kinds.get(dialect.name) or BINARY(16))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Accept a UUID, its bytes or its text."""
        if value is None:
            return None
        task_id = value if isinstance(value, uuid.UUID) else uuid_of(value)
        return task_id if dialect.name == "postgresql" else task_id.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        """Return a UUID."""
        return value if value is None or isinstance(value, uuid.UUID) else uuid_of(value)


def older_rows(value: str) -> dict[str, str]:
    """Return the info of a column of which it is known what older rows have in it, as SQL that every database takes."""
    return {BEFORE: value}


def exact(length: int) -> String:
    """Return a text type that tells 'a' from 'A': MySQL's default collations do not."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def any_text() -> Text:
    """Return a long text type for any script, whatever the database's default character set."""
    return Text().with_variant(mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def unbounded_text() -> Text:
    """Return a text type for megabytes: MySQL's TEXT ends at 64 KiB."""
    return Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")

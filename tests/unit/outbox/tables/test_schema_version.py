"""The version of the tables is raised when they change: by it instances know whether they can work side by side."""

from __future__ import annotations

import hashlib

from sqlalchemy import MetaData, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

from asyncflow import Inbox, Outbox, RollOver
from asyncflow.outbox.tables.schema_version import OLDEST_BESIDE, SCHEMA_VERSION

DIALECTS = (mysql.dialect(), postgresql.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]
KNOWN = {1: "a5fd26d7112f76da"}


def test_tables_that_have_changed_have_another_version() -> None:
    metadata = MetaData()
    outbox = Outbox(metadata, roll_over=RollOver())
    Inbox(metadata)
    described = "\n".join(sorted(line for table in metadata.sorted_tables for line in _described(table)))
    assert outbox.tasks in metadata.sorted_tables
    fingerprint = hashlib.sha256(described.encode()).hexdigest()[:16]
    assert KNOWN.get(SCHEMA_VERSION) == fingerprint, (
        f"the tables have changed: raise SCHEMA_VERSION, and write {fingerprint!r} behind it here; OLDEST_BESIDE, "
        f"too, if instances that know the tables as they were cannot work beside this version's"
    )


def test_each_version_is_known_and_works_beside_one_that_there_was() -> None:
    assert list(KNOWN) == list(range(1, SCHEMA_VERSION + 1))
    assert 0 <= OLDEST_BESIDE <= SCHEMA_VERSION


def _described(table: Table) -> list[str]:
    """Return what an insert, and a look along an index, depend on."""
    columns = [
        f"{table.name}.{column.name} {column.type.compile(dialect)} {column.nullable} {column.primary_key}"
        for column in table.columns
        for dialect in DIALECTS
    ]
    indexes = [f"{index.name} {[column.name for column in index.columns]} {index.unique}" for index in table.indexes]
    return [*columns, *indexes]

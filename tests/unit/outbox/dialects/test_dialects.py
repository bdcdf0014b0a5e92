"""What can be told of the dialects without a database."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from asyncflow.errors import UnsupportedDatabaseError
from asyncflow.outbox.dialects import dialect_of


class DriverError(Exception):
    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args)
        vars(self).update(attributes)


def error(orig: Any) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, orig)


@pytest.mark.parametrize("name", ["mysql", "mariadb", "postgresql", "sqlite"])
def test_each_supported_database_has_a_dialect(name: str) -> None:
    assert dialect_of(name) is dialect_of(name)


@pytest.mark.parametrize("name", ["oracle", "mssql", ""])
def test_another_database_is_refused_with_those_supported(name: str) -> None:
    with pytest.raises(
        UnsupportedDatabaseError, match="is not supported; use one of mariadb, mysql, postgresql, sqlite"
    ):
        dialect_of(name)


@pytest.mark.parametrize(
    ("name", "orig", "answer"),
    [
        ("mysql", DriverError(1205, "Lock wait timeout exceeded"), True),
        ("mysql", DriverError(1213, "Deadlock found"), True),
        ("mysql", DriverError(1020, "Record has changed since last read"), True),
        ("mysql", DriverError(1062, "Duplicate entry"), False),
        ("mysql", DriverError(2013, "Lost connection"), False),
        ("mysql", DriverError(), False),
        ("mysql", None, False),
        ("postgresql", DriverError(sqlstate="40001"), True),
        ("postgresql", DriverError(sqlstate="40P01"), True),
        ("postgresql", DriverError(sqlstate="55P03"), True),
        ("postgresql", DriverError(pgcode="40P01"), True),
        ("postgresql", DriverError(sqlstate="23505"), False),
        ("postgresql", DriverError(sqlstate=None), False),
        ("postgresql", None, False),
        ("sqlite", sqlite3.OperationalError("database is locked"), True),
        ("sqlite", sqlite3.OperationalError("database table is locked: asyncflow_task"), True),
        ("sqlite", sqlite3.OperationalError("no such table: asyncflow_task"), False),
        ("sqlite", sqlite3.IntegrityError("UNIQUE constraint failed"), False),
    ],
)
def test_contention_is_told_from_other_errors(name: str, orig: Any, answer: bool) -> None:
    assert dialect_of(name).is_contention(error(orig)) is answer

"""Rows that a statement names by their primary keys: found, and so locked, by nothing else."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Delete, Select, Update

_Locking = TypeVar("_Locking", Select[Any], Update, Delete)
_Writing = TypeVar("_Writing", Update, Delete)

_HINT = "FORCE INDEX (PRIMARY)"
_DIALECTS = ("mysql", "mariadb")


def by_primary_key(statement: _Locking) -> _Locking:
    """Let MySQL and MariaDB find the rows of a statement that locks by primary key, whatever their number.

    They lock what they read, not only what is named. A small table they would read whole, and where few rows have the
    wanted status, all of those: a lock on any other row would hold this statement up, and a slow transaction of the
    application all others.
    """
    if isinstance(statement, Delete):
        # Only its form with USING takes the hint.
        return _hinted(statement, f"USING {_quoted(statement.table)} {_HINT}")
    if isinstance(statement, Update):
        return _hinted(statement, _HINT)
    (table,) = statement.get_final_froms()
    for name in _DIALECTS:
        statement = statement.with_hint(table, _HINT, name)
    return statement


def _hinted(statement: _Writing, hint: str) -> _Writing:
    for name in _DIALECTS:
        statement = statement.with_hint(hint, dialect_name=name)
    return statement


def _quoted(table: Any) -> str:
    return ".".join(f"`{part}`" for part in (table.schema, table.name) if part)

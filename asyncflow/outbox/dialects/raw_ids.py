"""Ids as they travel between the run side and its database: read, and named again, without becoming UUIDs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

from asyncflow.outbox.dialects.choose import dialect_of

# Drivers that give bytes as a bytearray, or a memoryview, which may be changed and are therefore no keys of a dict.
GIVE_NO_BYTES = frozenset({"mysqlconnector", "psycopg2"})


def raw_form(task_id: UUID, dialect_name: str) -> Any:
    """Return an id in the form in which rows are read: as text on PostgreSQL, as bytes elsewhere."""
    return str(task_id) if dialect_name == "postgresql" else task_id.bytes


class Raw(UserDefinedType[Any]):
    """Pass values as drivers give and take them."""

    cache_ok = True

    def result_processor(self, dialect: Any, coltype: object) -> Callable[[Any], Any] | None:
        """Leave values as they are, but for bytes that some drivers give as something else."""
        return as_bytes if dialect.driver in GIVE_NO_BYTES else None


def as_bytes(value: Any) -> Any:
    """Return a value of one of GIVE_NO_BYTES as other drivers give it."""
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


class raw_id(FunctionElement[Any]):  # noqa: N801 - a SQL function's name
    """Compile to an id as text on PostgreSQL, whose drivers would make an object of it, as bytes elsewhere."""

    type = Raw()
    inherit_cache = True
    name = "raw_id"


@compiles(raw_id)
def _bytes(element: raw_id, compiler: Any, **kw: Any) -> str:
    text: str = compiler.process(element.clauses, **kw)
    return text


@compiles(raw_id, "postgresql")
def _text(element: raw_id, compiler: Any, **kw: Any) -> str:
    return f"CAST({_bytes(element, compiler, **kw)} AS TEXT)"


class _RawIds(UserDefinedType[Any]):
    """Write ids into the statement: binding thousands of them takes several times as long."""

    cache_ok = True

    def literal_processor(self, dialect: Any) -> Callable[[Any], str]:
        """Write all at once."""
        return dialect_of(dialect.name).among


def is_named(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Tell whether an id is among the statement's ``ids``."""
    return is_among(column, bindparam("ids", literal_execute=True, type_=_RawIds()))


def is_among(column: ColumnElement[Any], ids: ColumnElement[Any]) -> ColumnElement[bool]:
    """Tell whether a column is one of ``ids``, which are written with the operator before them."""
    return column.op("", is_comparison=True)(ids)

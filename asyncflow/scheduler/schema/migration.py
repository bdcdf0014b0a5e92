"""Operations as Alembic has them, written in Python: ``op`` is Alembic's, ``sa`` SQLAlchemy, ``mysql`` its dialect.

Alembic itself is not needed to write them. What it has no operation for, or could not do as exactly, is its
``op.execute`` of the SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Index, Table

from asyncflow.outbox.dialects.schema.live import LiveColumn, before
from asyncflow.outbox.dialects.schema.protocol import table_of
from asyncflow.outbox.tables.plain_types import type_as_python

IMPORTS = ("import sqlalchemy as sa", "from alembic import op", "from sqlalchemy.dialects import mysql")
_BIND = re.compile(r"(?<![:\w\\]):(?=\w)")  # which SQLAlchemy would take for a parameter


def execute(statements: Iterable[str]) -> list[str]:
    """Return the statements as they are."""
    return [f"op.execute({_quoted(_BIND.sub(chr(92) + ':', statement))})" for statement in statements]


def create_table(table: Table) -> list[str] | None:
    """Return what creates a table with its indexes; None if a column has a type of somebody else's."""
    columns = [_column(column) for column in table.columns]
    if None in columns or not all(isinstance(one, Column) for index in table.indexes for one in index.expressions):
        return None
    key = f"sa.PrimaryKeyConstraint({', '.join(repr(column.name) for column in table.primary_key)})"
    options = [f"schema={table.schema!r}"] if table.schema else []
    options += [f"{name}={value!r}" for name, value in sorted(table.dialect_kwargs.items())]
    lines = ",\n    ".join([repr(table.name), *map(str, columns), key, *options])
    indexes = sorted(table.indexes, key=lambda one: str(one.name))
    return [f"op.create_table(\n    {lines},\n)", *(create_index(index) for index in indexes)]


def add_column(column: Column[Any]) -> list[str] | None:
    """Return what adds a column; None if it has a type of somebody else's, or a default."""
    written, value = _column(column), before(column)
    if written is None or value is None or column.nullable:
        return None if written is None else [f"op.add_column({column.table.name!r}, {written}{_schema(column.table)})"]
    filled = f"{written.removesuffix(')')}, server_default=sa.text({value!r}))"
    kind = f"existing_type={type_as_python(column.type)}, existing_nullable=False"
    return [
        f"op.add_column({column.table.name!r}, {filled}{_schema(column.table)})",
        f"op.alter_column({column.table.name!r}, {column.name!r}, {kind}, server_default=None{_schema(column.table)})",
    ]


def alter_column(column: Column[Any], live: LiveColumn, *, is_mysql: bool) -> list[str] | None:
    """Return what makes a column as it is needed; None if that takes more than its type and its NOT NULL."""
    kind = type_as_python(column.type)
    if kind is None or (not is_mysql and live.collation is not None):
        return None
    options = [f"type_={kind}", f"nullable={column.nullable}", f"existing_nullable={live.is_nullable}"]
    if live.default is not None and column.nullable:
        options.append("server_default=None")
    if is_mysql and column.table.autoincrement_column is column:
        options.append("autoincrement=True")
    return [f"op.alter_column({column.table.name!r}, {column.name!r}, {', '.join(options)}{_schema(column.table)})"]


def create_index(index: Index) -> str:
    """Return what makes an index."""
    columns = [column.name for column in index.columns]
    unique = ", unique=True" if index.unique else ""
    return f"op.create_index({index.name!r}, {table_of(index).name!r}, {columns!r}{unique}{_schema(table_of(index))})"


def beside_writers(statements: Iterable[str]) -> list[str]:
    """Return the statements outside of the migration's transaction, where PostgreSQL indexes beside writers."""
    return ["\n    ".join(["with op.get_context().autocommit_block():", *execute(statements)])]


def drop_index(table: Table, name: str) -> str:
    """Return what takes an index away."""
    return f"op.drop_index({name!r}, table_name={table.name!r}{_schema(table)})"


def _quoted(statement: str) -> str:
    """Return a text as Python, over several lines if it has them."""
    is_plain = not any(mark in statement for mark in ('"""', chr(92))) and not statement.endswith('"')
    return f'"""{statement}"""' if "\n" in statement and is_plain else repr(statement)


def _column(column: Column[Any]) -> str | None:
    kind = type_as_python(column.type)
    if kind is None or column.server_default is not None:
        return None
    counted = ", autoincrement=False" if column.autoincrement is False else ""
    return f"sa.Column({column.name!r}, {kind}, nullable={column.nullable}{counted})"


def _schema(table: Table) -> str:
    return f", schema={table.schema!r}" if table.schema else ""

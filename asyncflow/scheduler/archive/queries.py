"""The statements of the archive, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, Table, bindparam, select
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_named
from asyncflow.outbox.queries import context_of


@lru_cache(maxsize=32)
def rows_named(tasks: Table, contexts: Table) -> Select[Any]:
    """Read all of the rows with the ids."""
    return by_primary_key(select(*_columns(tasks, contexts)).where(is_named(tasks.c.id)))


def rows_behind(numbered: Table, contexts: Table, *, is_first: bool) -> Select[Any]:
    """Read all of up to ``limit`` rows behind ``after``, or the first ones, in the order of their ids."""
    t = numbered.c
    page = select(*_columns(numbered, contexts)).order_by(t.id).limit(bindparam("limit", type_=Integer()))
    return page if is_first else page.where(t.id > bindparam("after", type_=t.id.type))


def closed_at(positions: Table, number: int) -> Select[Any]:
    """Read when a numbered table was closed."""
    return select(positions.c.closed_at).where(positions.c.number == number)


def first_id(numbered: Table) -> Select[Any]:
    """Read the first id of all."""
    return select(numbered.c.id).order_by(numbered.c.id).limit(1)


def _columns(tasks: Table, contexts: Table) -> list[ColumnElement[Any]]:
    return [column for column in tasks.c if column.name != "context"] + [context_of(tasks, contexts)]

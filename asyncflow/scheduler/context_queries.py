"""The statements about contexts that have overflown their tasks' rows, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Table,
    Text,
    Update,
    bindparam,
    case,
    delete,
    exists,
    insert,
    select,
    update,
)

from asyncflow.outbox.tables import OVERFLOWN, TaskId
from asyncflow.scheduler.raw_ids import is_named

_ID: Any = bindparam("its_id", type_=TaskId())


def context_of(tasks: Table, contexts: Table) -> ColumnElement[Any]:
    """Return the context of a row, wherever it is; the other table is looked into where the row says so."""
    elsewhere = select(contexts.c.context).where(contexts.c.task_id == tasks.c.id).correlate(tasks).scalar_subquery()
    return case((tasks.c.context == OVERFLOWN, elsewhere), else_=tasks.c.context).label("context")


@lru_cache(maxsize=32)
def replace(contexts: Table) -> Update:
    """Write the context of a task that has one here."""
    return update(contexts).where(contexts.c.task_id == _ID).values(context=bindparam("its_text", type_=Text()))


@lru_cache(maxsize=32)
def add(contexts: Table) -> Insert:
    """Write the context of a task that has none here."""
    return insert(contexts).values(task_id=_ID, context=bindparam("its_text", type_=Text()))


@lru_cache(maxsize=32)
def forget(contexts: Table, tasks: Table) -> Delete:
    """Delete the contexts of those of the tasks that are there no more."""
    is_there = exists(select(tasks.c.id).where(tasks.c.id == contexts.c.task_id).correlate(contexts))
    return delete(contexts).where(is_named(contexts.c.task_id), ~is_there)

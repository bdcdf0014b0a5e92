"""The statements about unique keys, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Select, String, Table, Update, bindparam, select, update
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.tables import TaskId


@lru_cache(maxsize=32)
def seen(entries: Table, tasks: Table) -> Select[Any]:
    """Read keys of a type with the task of each and its status, as the transaction sees them; NULL if that is gone.

    Entry and task are written by one transaction, so a task that is not seen beside its entry is gone for good.
    """
    columns = (entries.c.unique_key, entries.c.task_id, tasks.c.status)
    with_tasks = entries.outerjoin(tasks, tasks.c.id == entries.c.task_id)
    return select(*columns).select_from(with_tasks).where(*_named(entries))


@lru_cache(maxsize=32)
def held(entries: Table, *, skip_locked: bool = False) -> Select[Any]:
    """Read keys of a type with the task of each, as committed, and keep them so until the transaction ends."""
    rows = select(entries.c.unique_key, entries.c.task_id).where(*_named(entries))
    return by_primary_key(rows.with_for_update(skip_locked=skip_locked))


@lru_cache(maxsize=32)
def standing(tasks: Table) -> Select[Any]:
    """Read ids and statuses of tasks, as committed, and keep them so until the transaction ends."""
    ids = tasks.c.id.in_(bindparam("its_ids", expanding=True, type_=TaskId()))
    return by_primary_key(select(tasks.c.id, tasks.c.status).where(ids).with_for_update(read=True))


@lru_cache(maxsize=32)
def take_over(entries: Table) -> Update:
    """Let a key, which is held, lead to another task."""
    its_type = entries.c.task_type == bindparam("its_type", type_=String())
    its_key = entries.c.unique_key == bindparam("its_key", type_=String())
    return by_primary_key(update(entries)).where(its_type, its_key).values(task_id=bindparam("its_id", type_=TaskId()))


def _named(entries: Table) -> tuple[ColumnElement[bool], ...]:
    its_type = bindparam("its_type", type_=String())
    return (
        # Twice, for with an equation MySQL and MariaDB may read, and lock, all keys of a type that has few.
        entries.c.task_type.in_([its_type, its_type]),
        entries.c.unique_key.in_(bindparam("its_keys", expanding=True, type_=String())),
    )

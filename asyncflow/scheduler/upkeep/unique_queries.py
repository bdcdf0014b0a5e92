"""The statements about entries of unique keys that nobody holds, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Delete, Integer, Select, String, Table, bindparam, delete, or_, select

from asyncflow.outbox.dialects.primary_key import by_primary_key


@lru_cache(maxsize=32)
def page(entries: Table, tasks: Table) -> Select[Any]:
    """Read up to ``limit`` keys behind ``after_type`` and ``after_key``, with the status of its task; NULL if gone."""
    e = entries.c
    after_type, after_key = bindparam("after_type", type_=String()), bindparam("after_key", type_=String())
    return (
        select(e.task_type, e.unique_key, tasks.c.status)
        .select_from(entries.outerjoin(tasks, tasks.c.id == e.task_id))
        .where(e.task_type >= after_type, or_(e.task_type > after_type, e.unique_key > after_key))
        .order_by(e.task_type, e.unique_key)
        .limit(bindparam("limit", type_=Integer()))
    )


@lru_cache(maxsize=32)
def statuses(tasks: Table) -> Select[Any]:
    """Read ids and statuses of tasks, as committed."""
    return select(tasks.c.id, tasks.c.status).where(
        tasks.c.id.in_(bindparam("its_ids", expanding=True, type_=tasks.c.id.type))
    )


@lru_cache(maxsize=32)
def delete_keys(entries: Table) -> Delete:
    """Delete keys of a type, which are held, while they lead to the tasks that were judged: each has one key."""
    its_type = bindparam("its_type", type_=String())
    named = entries.c.unique_key.in_(bindparam("its_keys", expanding=True, type_=String()))
    judged = entries.c.task_id.in_(bindparam("its_ids", expanding=True, type_=entries.c.task_id.type))
    return by_primary_key(delete(entries).where(entries.c.task_type.in_([its_type, its_type]), named, judged))

"""The statements about the audit, each a named function."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Delete, Integer, Select, Table, bindparam, delete, select, type_coerce

from asyncflow.scheduler.raw_ids import Raw


def latest(entries: Table, task_id: UUID | None, limit: int) -> Select[Any]:
    """Read the latest entries, of one task if its id is given, latest first."""
    e = entries.c
    columns = (e.at, e.actor, e.action, e.task_id, e.task_type, e.task_key, e.reason, e.detail)
    statement = select(*columns).order_by(e.at.desc(), e.id.desc()).limit(limit)
    return statement if task_id is None else statement.where(e.task_id == task_id)


def is_there(entries: Table, entry_id: UUID) -> Select[Any]:
    """Read the id of an entry, if it is there."""
    return select(entries.c.id).where(entries.c.id == entry_id)


def expired(entries: Table) -> Select[Any]:
    """Read ids of entries older than ``age``, oldest first."""
    e = entries.c
    old = e.at < bindparam("age", type_=e.at.type)
    return select(type_coerce(e.id, Raw())).where(old).order_by(e.at).limit(bindparam("limit", type_=Integer()))


def delete_entries(entries: Table) -> Delete:
    """Delete entries by primary key."""
    return delete(entries).where(entries.c.id.in_(bindparam("ids", expanding=True, type_=Raw())))

"""The notices' statements, each a named function: what was told is remembered as idempotency keys of no task type."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Delete, Select, String, Table, bindparam, delete, or_, select


def read_told(dedupe: Table) -> Select[Any]:
    """Read what is remembered, and when that was written."""
    return select(dedupe.c.idempotency_key, dedupe.c.created_at).where(_of_type(dedupe))


def forget(dedupe: Table) -> Delete:
    """Delete one memory by its primary key."""
    return delete(dedupe).where(_of_type(dedupe), _of_key(dedupe))


def forget_old(dedupe: Table) -> Delete:
    """Delete one memory that is older than ``age``, or as far ahead: the clock was set back since."""
    written = dedupe.c.created_at
    old = written < bindparam("age", type_=written.type)
    ahead = written > bindparam("ahead", type_=written.type)
    return delete(dedupe).where(_of_type(dedupe), _of_key(dedupe), or_(old, ahead))


def _of_type(dedupe: Table) -> Any:
    return dedupe.c.task_type == bindparam("its_type", type_=String())


def _of_key(dedupe: Table) -> Any:
    return dedupe.c.idempotency_key == bindparam("its_key", type_=String())

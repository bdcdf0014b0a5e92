"""The notices' statements, each a named function: what was told is remembered as idempotency keys of no task type."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Delete, Select, String, Table, bindparam, delete, select

from asyncflow.outbox.clock import database_now


def read_now() -> Select[Any]:
    """Read the database's clock."""
    return select(database_now())


def read_told(dedupe: Table) -> Select[Any]:
    """Read what is remembered, and when that was written."""
    return select(dedupe.c.idempotency_key, dedupe.c.created_at).where(_of_type(dedupe))


def forget(dedupe: Table) -> Delete:
    """Delete one memory by its primary key."""
    return delete(dedupe).where(_of_type(dedupe), _of_key(dedupe))


def forget_old(dedupe: Table) -> Delete:
    """Delete one memory that is older than ``age``."""
    old = dedupe.c.created_at < bindparam("age", type_=dedupe.c.created_at.type)
    return delete(dedupe).where(_of_type(dedupe), _of_key(dedupe), old)


def _of_type(dedupe: Table) -> Any:
    return dedupe.c.task_type == bindparam("its_type", type_=String())


def _of_key(dedupe: Table) -> Any:
    return dedupe.c.idempotency_key == bindparam("its_key", type_=String())

"""The write side's statements, each a named function."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Delete, Insert, Select, Table, bindparam, delete, insert, select


@lru_cache(maxsize=32)
def insert_task(tasks: Table) -> Insert:
    """Write one task row with all its columns."""
    return insert(tasks)


def expired_inbox_entries(inbox: Table, older_than: timedelta, limit: int) -> Select[Any]:
    """Read the keys of entries that no redelivery can need any more, oldest first."""
    return (
        select(inbox.c.consumer, inbox.c.message_id)
        .where(inbox.c.processed_at < -older_than)
        .order_by(inbox.c.processed_at)
        .limit(limit)
    )


def delete_inbox_entry(inbox: Table) -> Delete:
    """Delete one entry by its primary key."""
    return delete(inbox).where(
        inbox.c.consumer == bindparam("its_consumer"), inbox.c.message_id == bindparam("its_message_id")
    )

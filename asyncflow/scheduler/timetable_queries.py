"""The timetable's statements, each a named function."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, String, Table, Update, bindparam, select, update

from asyncflow.outbox.clock import Instant, database_now

_NO_TIME = timedelta(0)


def read_now(connection: Connection) -> datetime:
    """Read the database's clock, by which is decided what is due."""
    now: datetime = connection.execute(select(database_now())).scalar_one()
    return now


def entries(periodic: Table, names: Iterable[str]) -> Select[Any]:
    """Read the entries of the periodic tasks, each with the database's now."""
    p = periodic.c
    return select(p.name, p.cron, p.timezone, p.next_due, p.last_due, database_now().label("now")).where(
        p.name.in_([*names])
    )


@lru_cache(maxsize=32)
def advance(periodic: Table) -> Update:
    """Let an entry be due next at ``its_next_due``, unless somebody has changed it since it was read.

    Of any number that saw the same due time, one changes the row; whoever enqueues in that transaction is the only one.
    """
    p = periodic.c
    return (
        update(periodic)
        .where(
            p.name == bindparam("its_name", type_=String()),
            p.next_due == bindparam("its_due", type_=Instant()),
            p.cron == bindparam("old_cron", type_=String()),
            p.timezone == bindparam("old_timezone", type_=String()),
        )
        .values(
            cron=bindparam("its_cron", type_=String()),
            timezone=bindparam("its_timezone", type_=String()),
            next_due=bindparam("its_next_due", type_=Instant()),
            last_due=bindparam("its_last_due", type_=Instant()),
            modified_at=_NO_TIME,
        )
    )

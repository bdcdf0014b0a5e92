"""The statements that settle a round, each a named function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Delete, Integer, Table, Update, and_, bindparam, delete, literal_column, update
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import NO_TIME, database_now
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import is_among, is_named
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.queries import has_status, logged

_IDS = "/* ids */"  # where the ids stand in a statement that is sent as text


def settle_succeeded(connection: Connection, tasks: Table, raw_ids: Sequence[Any]) -> int:
    """Mark PENDING rows SUCCESS, order_time the time of settling, by which the cleaner goes; return how many."""
    return run_on_ids(connection, _settle_succeeded(tasks, connection.dialect), raw_ids)


def delete_succeeded(connection: Connection, tasks: Table, raw_ids: Sequence[Any]) -> int:
    """Delete PENDING rows that are over and return how many."""
    return run_on_ids(connection, _delete_succeeded(tasks, connection.dialect), raw_ids)


def run_on_ids(connection: Connection, text: str, raw_ids: Sequence[Any]) -> int:
    """Send a compiled statement with the ids written into it: binding thousands of them takes ten times as long."""
    among = dialect_of(connection.dialect.name).among(raw_ids)
    return connection.exec_driver_sql(text.replace(_IDS, among)).rowcount


@lru_cache(maxsize=32)
def _settle_succeeded(tasks: Table, dialect: Any) -> str:
    now = database_now()
    values = {"status": int(Status.SUCCESS), "order_time": now, "modified_at": now}
    return compiled_on_ids(by_primary_key(update(tasks)).where(*pending_literally(tasks)).values(values), dialect)


@lru_cache(maxsize=32)
def _delete_succeeded(tasks: Table, dialect: Any) -> str:
    return compiled_on_ids(by_primary_key(delete(tasks).where(*pending_literally(tasks))), dialect)


def compiled_on_ids(statement: Update | Delete, dialect: Any) -> str:
    """Return the text of a statement on ``pending_literally`` named rows, for ``run_on_ids``."""
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def pending_literally(tasks: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Tell which of the rows with the ids that will be written in are PENDING."""
    return is_among(tasks.c.id, literal_column(_IDS)), has_status(tasks, Status.PENDING)


def _pending(tasks: Table) -> ColumnElement[bool]:
    return and_(is_named(tasks.c.id), has_status(tasks, Status.PENDING))


def _as_read(tasks: Table) -> ColumnElement[bool]:
    """Tell which rows have spent no attempt since they were read: what is written twice counts one."""
    return and_(_pending(tasks), tasks.c.retry_count == bindparam("its_count", type_=Integer()))


@lru_cache(maxsize=32)
def settle_retried(tasks: Table) -> Update:
    """Let PENDING rows that were read with ``its_count`` be due again after ``delay``, one attempt poorer."""
    delay = bindparam("delay", type_=tasks.c.order_time.type)
    return (
        by_primary_key(update(tasks))
        .where(_as_read(tasks))
        .values(
            retry_count=bindparam("its_count", type_=Integer()) + 1,
            order_time=delay,
            next_select_time=delay,
            schedule_log=logged(tasks),
            modified_at=NO_TIME,
        )
    )


@lru_cache(maxsize=32)
def settle_superseded(tasks: Table) -> Update:
    """Make PENDING rows CANCELLED that are not to be sent any more."""
    values = {"order_time": NO_TIME, "schedule_log": logged(tasks), "modified_at": NO_TIME}
    return by_primary_key(update(tasks)).where(_pending(tasks)).values(status=int(Status.CANCELLED), **values)


@lru_cache(maxsize=32)
def settle_failed(tasks: Table) -> Update:
    """Make PENDING rows that were read with ``its_count`` dead letters, whose last attempt counts like the others."""
    return (
        by_primary_key(update(tasks))
        .where(_as_read(tasks))
        .values(
            status=int(Status.FAILED),
            retry_count=bindparam("its_count", type_=Integer()) + 1,
            order_time=NO_TIME,
            schedule_log=logged(tasks),
            modified_at=NO_TIME,
        )
    )

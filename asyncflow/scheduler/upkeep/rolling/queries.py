"""The statements of roll-over, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Delete,
    Insert,
    Integer,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    false,
    insert,
    literal,
    literal_column,
    select,
    type_coerce,
    update,
)

from asyncflow.outbox.clock import NO_TIME, seconds_until
from asyncflow.outbox.dialects.primary_key import by_primary_key
from asyncflow.outbox.dialects.raw_ids import Raw, is_named, raw_id
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.queries import has_status

OVER = (Status.SUCCESS, Status.CANCELLED)  # for good
_NUMBER: Any = bindparam("its_number", type_=Integer())


@lru_cache(maxsize=32)
def positions(table: Table) -> Select[Any]:
    """Read all positions in order, each time as seconds until it, which are negative."""
    p = table.c
    times = (seconds_until(time) for time in (p.opened_at, p.closed_at, p.forgotten_at))
    return select(p.number, p.row_count, *times).order_by(p.number)


@lru_cache(maxsize=32)
def count_in(table: Table) -> Update:
    """Count ``moved`` rows in, if the table is open still: who does so holds off the one who closes it."""
    p = table.c
    more = p.row_count + bindparam("moved", type_=BigInteger())
    its = (p.number == _NUMBER, p.opened_at.is_not(None), p.closed_at.is_(None))
    return update(table).where(*its).values(row_count=more)


@lru_cache(maxsize=32)
def move(tasks: Table, into: Table, status: int) -> Insert:
    """Write rows that are locked, and in ``status``, into another table as they are."""
    rows = by_primary_key(select(*tasks.c).where(is_named(tasks.c.id), has_status(tasks, status)))
    return insert(into).from_select([column.name for column in tasks.c], rows, include_defaults=False)


def add(table: Table, number: int, *, is_open: bool) -> Insert:
    """Write the position of a table that was made, open or ahead."""
    opened: dict[str, Any] = {"opened_at": NO_TIME} if is_open else {}
    return insert(table).values(number=number, row_count=0, **opened)


def begin(table: Table, number: int) -> Update:
    """Open a table that was made ahead."""
    p = table.c
    return update(table).where(p.number == number, p.opened_at.is_(None)).values(opened_at=NO_TIME)


def close(table: Table, number: int) -> Update:
    """Close a table that is open."""
    p = table.c
    its = (p.number == number, p.opened_at.is_not(None), p.closed_at.is_(None))
    return update(table).where(*its).values(closed_at=NO_TIME)


def forget(table: Table, number: int, *, by_hand: bool = False) -> Update:
    """Let nobody read a table any more: a closed one, or any ``by_hand``."""
    p = table.c
    its = [p.number == number, p.forgotten_at.is_(None)]
    return update(table).where(*its, *([] if by_hand else [p.closed_at.is_not(None)])).values(forgotten_at=NO_TIME)


def remove(table: Table, number: int, *, by_hand: bool = False) -> Delete:
    """Delete the position of a forgotten table, or of any ``by_hand``."""
    its = delete(table).where(table.c.number == number)
    return its if by_hand else its.where(table.c.forgotten_at.is_not(None))


def unfinished(numbered: Table) -> Select[Any]:
    """Read one row that is not over, along the index."""
    statuses = [int(status) for status in Status if status not in OVER]
    return select(numbered.c.id, numbered.c.status).where(numbered.c.status.in_(statuses)).limit(1)


def no_row(table: Table) -> Select[Any]:
    """Read nothing, for the names of the columns that are there."""
    return select(literal_column("*")).select_from(table).where(false())


def contexts_of(numbered: Table, contexts: Table, after: Any) -> Select[Any]:
    """Read ids of tasks of a table that have a row in the other one, in order, behind ``after``."""
    there = select(literal(1)).where(numbered.c.id == contexts.c.task_id).correlate(contexts).exists()
    page = select(raw_id(contexts.c.task_id)).where(there)
    if after is not None:
        page = page.where(type_coerce(contexts.c.task_id, Raw()) > after)
    return page.order_by(contexts.c.task_id).limit(bindparam("limit", type_=Integer()))

"""The statements about counts for charts, each a named function."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Delete, Integer, Select, String, Table, bindparam, delete, func, select, tuple_

from asyncflow.outbox.clock import now_in_microseconds
from asyncflow.outbox.dialects import dialect_of

_NOW = select(now_in_microseconds())
_HOURS: Any = bindparam("hours", expanding=True, type_=Integer())
_TYPES: Any = bindparam("types", expanding=True, type_=String())


def now(connection: Connection) -> float:
    """Read the database's clock, in seconds since 1970."""
    return int(connection.execute(_NOW).scalar_one()) / 1e6


@lru_cache(maxsize=32)
def delete_own(charts: Table) -> Delete:
    """Delete rows of ``its_hour`` that ``its_writer`` has written, of ``types``."""
    c = charts.c
    return delete(charts).where(
        c.hour == bindparam("its_hour", type_=Integer()),
        c.task_type.in_(_TYPES),
        c.writer == bindparam("its_writer", type_=c.writer.type),
    )


def write(connection: Connection, charts: Table, rows: Sequence[dict[str, Any]], tried: Collection[str]) -> None:
    """Write the rows of one hour of one writer, as often as one likes: those ``tried`` before may be there."""
    if names := [row["task_type"] for row in rows if row["task_type"] in tried]:
        its = {"its_hour": rows[0]["hour"], "its_writer": rows[0]["writer"], "types": names}
        connection.execute(delete_own(charts), its)
    dialect_of(connection.dialect.name).insert_many(connection, charts, rows)


@lru_cache(maxsize=32)
def busiest(charts: Table) -> Select[Any]:
    """Read the ``most`` task types that have the most counts in ``hours``, the busiest first."""
    c = charts.c
    total = func.sum(c.total)
    busy = select(c.task_type).where(c.hour.in_(_HOURS), c.task_type != "").group_by(c.task_type)
    return busy.order_by(total.desc(), c.task_type).limit(bindparam("most", type_=Integer()))


@lru_cache(maxsize=32)
def of_types(charts: Table) -> Select[Any]:
    """Read the counts of ``types`` in ``hours``, of all writers."""
    c = charts.c
    return select(c.hour, c.task_type, c.counts).where(c.hour.in_(_HOURS), c.task_type.in_(_TYPES))


@lru_cache(maxsize=32)
def before(charts: Table) -> Select[Any]:
    """Read up to ``limit`` primary keys of hours before ``its_hour``, oldest first."""
    key = (charts.c.hour, charts.c.task_type, charts.c.writer)
    old = charts.c.hour < bindparam("its_hour", type_=Integer())
    return select(*key).where(old).order_by(*key).limit(bindparam("limit", type_=Integer()))


def delete_keys(charts: Table, keys: Sequence[tuple[int, str, UUID]]) -> Delete:
    """Delete rows by their primary keys."""
    c = charts.c
    return delete(charts).where(tuple_(c.hour, c.task_type, c.writer).in_(keys))

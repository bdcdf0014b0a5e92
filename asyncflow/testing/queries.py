"""The statements by which tests look at tasks, take them and let time pass, each a named function."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Select, Table, Update, bindparam, select, type_coerce, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from asyncflow.outbox.clock import DatabaseTime, Instant, database_now, seconds_until
from asyncflow.outbox.dialects.raw_ids import raw_id
from asyncflow.outbox.status import Status

_MICROSECOND = timedelta(microseconds=1)


@lru_cache(maxsize=32)
def waiting(tasks: Table) -> Select[Any]:
    """Read all PENDING rows, in the order in which they are taken."""
    t = tasks.c
    columns = (
        t.id,
        raw_id(t.id).label("raw_id"),
        t.task_type,
        t.shard,
        t.task_key,
        t.headers,
        t.payload,
        t.retry_count,
        t.max_retries,
        t.priority,
        t.stage,
        t.created_at,
        seconds_until(t.next_select_time).label("due_in_seconds"),
        (t.next_select_time <= database_now()).label("is_due"),
    )
    return select(*columns).where(t.status == int(Status.PENDING)).order_by(t.order_time, t.id)


@lru_cache(maxsize=32)
def let_pass(table: Table) -> Update:
    """Let all times of a table's rows be earlier by ``passed``."""
    times = [column for column in table.c if isinstance(column.type, (DatabaseTime, Instant))]
    passed = bindparam("passed", type_=_Passed())
    return update(table).values({column.name: earlier(column, passed) for column in times})


class _Passed(TypeDecorator[timedelta]):
    """Bind a timedelta as whole microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> int:
        return int(value // _MICROSECOND)


class earlier(FunctionElement[Any]):  # noqa: N801 - a SQL function's name
    """Compile to a time less a number of microseconds."""

    type = Instant()
    inherit_cache = True
    name = "earlier"

    def __init__(self, time: ColumnElement[Any], passed: ColumnElement[Any]) -> None:
        super().__init__(type_coerce(time, Instant()), passed)


def _arguments(element: earlier, compiler: Any, kw: dict[str, Any]) -> tuple[str, str]:
    time, passed = (compiler.process(clause, **kw) for clause in element.clauses)
    return time, passed


@compiles(earlier, "mysql")
@compiles(earlier, "mariadb")
def _mysql(element: earlier, compiler: Any, **kw: Any) -> str:
    time, passed = _arguments(element, compiler, kw)
    return f"({time} - INTERVAL {passed} MICROSECOND)"


@compiles(earlier, "postgresql")
def _postgresql(element: earlier, compiler: Any, **kw: Any) -> str:
    time, passed = _arguments(element, compiler, kw)
    return f"({time} - {passed} * interval '1 microsecond')"


@compiles(earlier, "sqlite")
def _sqlite(element: earlier, compiler: Any, **kw: Any) -> str:
    time, passed = _arguments(element, compiler, kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', {time}, printf('%+.6f seconds', -{passed} / 1000000.0))"

"""The run side's statements, each a named function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Delete,
    Integer,
    Select,
    String,
    Table,
    Update,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import after_now, database_now
from asyncflow.outbox.dialects import DatabaseDialect, dialect_of
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import SCHEDULE_LOG_LENGTH
from asyncflow.outbox.task import Task
from asyncflow.scheduler.raw_ids import is_among, is_named, raw_id
from asyncflow.scheduler.timed_ids import cut_of, timed_id

_NO_TIME = timedelta(0)


class Head(NamedTuple):
    """Tell of one (task type, shard) how soon its first row is due; seconds, negative for overdue.

    ``ahead_seconds``: how far its rows may be ahead of the database's clock and are due all the same.
    """

    task_type: str
    shard: int
    due_in_seconds: float
    moment: int = 0  # of its order_time, in microseconds; to be compared with others of the database only
    ahead_seconds: float = 0.0


def has_status(tasks: Table, status: int) -> ColumnElement[bool]:
    """Tell which of some rows, named by their ids, have a status.

    PostgreSQL has no index for IS NOT DISTINCT FROM. With ``=``, and with statistics from before a backlog, it would
    walk over all rows of the status to find a thousand ids: a quarter of a second among 20,000 rows.
    """
    return tasks.c.status.is_not_distinct_from(literal_column(str(int(status)), Integer()))


# -- reading ---------------------------------------------------------------------------------------------


def read_heads(connection: Connection, dialect: DatabaseDialect, tasks: Table, status: int) -> list[Head]:
    """Read the first row of each (task type, shard) in ``status``: what is due, where, and when to look again."""
    return [Head(*row) for row in connection.execute(_heads(dialect, tasks, status))]


@lru_cache(maxsize=64)
def _heads(dialect: DatabaseDialect, tasks: Table, status: int) -> Any:
    return dialect.heads(tasks, status)


class Pages(list[Task]):
    """Hold the rows of some pages, page by page, and in ``moments`` the order_time of each, in microseconds."""

    __slots__ = ("moments",)

    def __init__(self, tasks: Iterable[Task] = (), moments: Iterable[int] = ()) -> None:
        super().__init__(tasks)
        self.moments = list(moments)


def read_pages(
    connection: Connection, tasks: Table, heads: Sequence[Head], limits: int | Sequence[int], *, newest: bool = False
) -> Pages:
    """Read due rows of each head up to its limit, in order_time within each, or in reverse the ``newest``.

    The statement is compiled once for each number of heads and then sent as text: building the union of 64
    selects anew would cost more than the database needs to answer it.
    """
    text, names, defaults = _compiled_pages(tasks, len(heads), connection.dialect, newest)
    limits = [limits] * len(heads) if isinstance(limits, int) else limits
    values: dict[str, Any] = dict(defaults)
    for number, (head, limit) in enumerate(zip(heads, limits, strict=True)):
        values[f"task_type_{number}"] = head.task_type
        values[f"shard_{number}"] = head.shard
        values[f"limit_{number}"] = limit
        values[f"ahead_{number}"] = round(head.ahead_seconds * 1e6)
    parameters = tuple(values[name] for name in names) if names is not None else values
    rows = connection.exec_driver_sql(text, parameters).all()
    marks = _Marks(heads)
    length, moment, raw_id_of = cut_of(connection.dialect.name)
    pages = Pages(moments=[moment(row[0][length:]) for row in rows])
    add = pages.append
    for timed, mark, key, headers, payload in rows:
        task_type, shard, retry_count, max_retries = marks[mark]
        task_id = timed[:length] if raw_id_of is None else raw_id_of(timed[:length])
        add(_task((task_id, task_type, shard, key, headers, payload, retry_count, max_retries)))
    return pages


# What Task._make does, without a call in Python for each row.
_task: Callable[[tuple[Any, ...]], Task] = partial(tuple.__new__, Task)


class _Marks(dict[str, tuple[str, int, int, int]]):
    """Turn the mark of a row, ``page:retry_count:max_retries``, into task type, shard and the two counts.

    Nearly all rows of a page bear the same mark. A driver in Python takes longer for each column it decodes
    than the database takes to find the row, so four columns are sent as one and taken apart once.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        super().__init__()
        self._heads = heads

    def __missing__(self, mark: str) -> tuple[str, int, int, int]:
        number, retry_count, max_retries = map(int, mark.split(":"))
        head = self._heads[number]
        counts = self[mark] = (head.task_type, head.shard, retry_count, max_retries)
        return counts


@lru_cache(maxsize=256)
def _compiled_pages(
    tasks: Table, count: int, dialect: Any, newest: bool
) -> tuple[str, tuple[str, ...] | None, Mapping[str, Any]]:
    """Return the text, its parameters' names in order where they have an order, and values set by the dialect."""
    selects = [page(tasks, number, newest=newest) for number in range(count)]
    compiled: Any = dialect_of(dialect.name).pages(selects).compile(dialect=dialect)  # type: ignore[attr-defined]
    return str(compiled), tuple(compiled.positiontup) if compiled.positional else None, compiled.params


def page(tasks: Table, number: int, *, newest: bool = False) -> Select[Any]:
    """Return the select of one page: the due rows of a (task type, shard), in the index's own order."""
    t = tasks.c
    return (
        select(timed_id(t.id, t.order_time), _mark(tasks, number), t.task_key, t.headers, t.payload)
        .where(
            t.status == literal_column(str(int(Status.PENDING)), Integer()),
            t.task_type == bindparam(f"task_type_{number}", type_=String()),
            t.shard == bindparam(f"shard_{number}", type_=Integer()),
            t.order_time <= after_now(bindparam(f"ahead_{number}", type_=BigInteger())),
        )
        .order_by(*((t.order_time.desc(), t.id.desc()) if newest else (t.order_time, t.id)))
        .limit(bindparam(f"limit_{number}", type_=Integer()))
    )


def _mark(tasks: Table, number: int) -> ColumnElement[str]:
    retry_count, max_retries = (cast(count, String()) for count in (tasks.c.retry_count, tasks.c.max_retries))
    page_number, colon = literal_column(f"'{number}:'", String()), literal_column("':'", String())
    return (page_number + retry_count + colon + max_retries).label("mark")


# -- settling --------------------------------------------------------------------------------------------


_IDS = "/* ids */"  # where the ids stand in a statement that is sent as text


def settle_succeeded(connection: Connection, tasks: Table, raw_ids: Sequence[Any]) -> int:
    """Mark PENDING rows SUCCESS, order_time the time of settling, by which the cleaner goes; return how many."""
    return run_on_ids(connection, _settle_succeeded(tasks, connection.dialect), raw_ids)


def delete_succeeded(connection: Connection, tasks: Table, raw_ids: Sequence[Any]) -> int:
    """Delete PENDING rows that were published and return how many."""
    return run_on_ids(connection, _delete_succeeded(tasks, connection.dialect), raw_ids)


def run_on_ids(connection: Connection, text: str, raw_ids: Sequence[Any]) -> int:
    """Send a compiled statement with the ids written into it: binding thousands of them takes ten times as long."""
    among = dialect_of(connection.dialect.name).among(raw_ids)
    return connection.exec_driver_sql(text.replace(_IDS, among)).rowcount


@lru_cache(maxsize=32)
def _settle_succeeded(tasks: Table, dialect: Any) -> str:
    now = database_now()
    values = {"status": int(Status.SUCCESS), "order_time": now, "modified_at": now}
    return compiled_on_ids(update(tasks).where(*pending_literally(tasks)).values(values), dialect)


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
        update(tasks)
        .where(_as_read(tasks))
        .values(
            retry_count=bindparam("its_count", type_=Integer()) + 1,
            order_time=delay,
            next_select_time=delay,
            schedule_log=logged(tasks),
            modified_at=_NO_TIME,
        )
    )


@lru_cache(maxsize=32)
def settle_failed(tasks: Table) -> Update:
    """Make PENDING rows that were read with ``its_count`` dead letters."""
    return (
        update(tasks)
        .where(_as_read(tasks))
        .values(
            status=int(Status.FAILED),
            order_time=_NO_TIME,
            schedule_log=logged(tasks),
            modified_at=_NO_TIME,
        )
    )


@lru_cache(maxsize=32)
def standing(tasks: Table) -> Select[Any]:
    """Read raw id, status and count of retries of rows."""
    return select(raw_id(tasks.c.id), tasks.c.status, tasks.c.retry_count).where(is_named(tasks.c.id))


@lru_cache(maxsize=32)
def lock_free(tasks: Table, *, skip_locked: bool) -> Select[Any]:
    """Lock the rows in ``its_status``, waiting for those that others have locked, or not; read their raw ids."""
    rows = select(raw_id(tasks.c.id)).where(is_named(tasks.c.id), _is_in_its_status(tasks))
    return rows.with_for_update(skip_locked=skip_locked)


@lru_cache(maxsize=32)
def in_status(tasks: Table) -> Select[Any]:
    """Read the raw ids of those of the rows that are in ``its_status``, as it is committed."""
    return select(raw_id(tasks.c.id)).where(is_named(tasks.c.id), _is_in_its_status(tasks))


def _is_in_its_status(tasks: Table) -> ColumnElement[bool]:
    return tasks.c.status.is_not_distinct_from(bindparam("its_status", type_=Integer()))


def logged(tasks: Table) -> ColumnElement[str]:
    """Return the log with a new line before the older ones, cut to its bound."""
    line = bindparam("line", type_=String())
    return func.substr(line + func.coalesce(tasks.c.schedule_log, ""), 1, SCHEDULE_LOG_LENGTH, type_=String())


# -- cleaning --------------------------------------------------------------------------------------------


def read_expired_ids(
    connection: Connection, tasks: Table, status: int, heads: Sequence[Head], age: timedelta, limit: int
) -> list[Any]:
    """Read ids of rows of each head settled longer than ``age`` ago, oldest first, up to ``limit`` of each."""
    values: dict[str, Any] = {"age": age, "limit": limit}
    for number, head in enumerate(heads):
        values |= {f"task_type_{number}": head.task_type, f"shard_{number}": head.shard}
    dialect = dialect_of(connection.dialect.name)
    return list(connection.execute(_expired_ids(dialect, tasks, status, len(heads)), values).scalars())


@lru_cache(maxsize=256)
def _expired_ids(dialect: DatabaseDialect, tasks: Table, status: int, count: int) -> Any:
    return dialect.pages([_expired_page(tasks, status, number) for number in range(count)])


def _expired_page(tasks: Table, status: int, number: int) -> Select[Any]:
    t = tasks.c
    return (
        select(raw_id(t.id).label("id"))
        .where(
            t.status == status,
            t.task_type == bindparam(f"task_type_{number}", type_=String()),
            t.shard == bindparam(f"shard_{number}", type_=Integer()),
            t.order_time < bindparam("age", type_=t.order_time.type),
        )
        .order_by(t.order_time)
        .limit(bindparam("limit", type_=Integer()))
    )


def delete_settled(tasks: Table, status: int) -> Delete:
    """Delete rows by primary key, if they are still in ``status``."""
    return by_primary_key(delete(tasks).where(is_named(tasks.c.id), has_status(tasks, status)))


def by_primary_key(statement: Delete) -> Delete:
    """Let MySQL and MariaDB find the rows by primary key, whatever their number.

    On a small table they would read all rows instead, and wait for those that open transactions have inserted: a slow
    transaction of the application would hold up all others. (Only the form with USING takes the hint.)
    """
    table = statement.table
    for dialect_name in ("mysql", "mariadb"):
        hint = f"USING {_quoted(table)} FORCE INDEX (PRIMARY)"
        statement = statement.with_hint(hint, dialect_name=dialect_name)
    return statement


def _quoted(table: Any) -> str:
    return ".".join(f"`{part}`" for part in (table.schema, table.name) if part)


# -- looking ---------------------------------------------------------------------------------------------


def count_up_to(tasks: Table, most: int) -> Select[Any]:
    """Count the rows of a status and task type, but not beyond ``most``."""
    rows = (
        select(tasks.c.id)
        .where(
            tasks.c.status == bindparam("its_status", type_=Integer()),
            tasks.c.task_type == bindparam("its_type", type_=String()),
        )
        .limit(most)
        .subquery()
    )
    return select(func.count()).select_from(rows)


def latest_dead_letters(tasks: Table, limit: int) -> Select[Any]:
    """Read the FAILED tasks of a type and shard that failed last."""
    t = tasks.c
    return (
        select(t.id, t.task_type, t.task_key, t.retry_count, t.modified_at, t.schedule_log)
        .where(
            t.status == int(Status.FAILED),
            t.task_type == bindparam("its_type", type_=String()),
            t.shard == bindparam("its_shard", type_=Integer()),
        )
        .order_by(t.order_time.desc())
        .limit(limit)
    )

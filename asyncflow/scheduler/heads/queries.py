"""The run side's statements, each a named function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    String,
    Table,
    bindparam,
    cast,
    literal_column,
    select,
)
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.clock import after_now
from asyncflow.outbox.dialects import DatabaseDialect, dialect_of
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import Task
from asyncflow.scheduler.table.timed_ids import cut_of, timed_id

MOST_PAGES = 64  # in one statement: more branches cost the planner more than another statement costs

Lane = tuple[str, int]  # a task type and a shard: what a page is read from


class Head(NamedTuple):
    """Tell of one lane how soon its first row is due; seconds, negative for overdue.

    ``ahead_seconds``: how far its rows may be ahead of the database's clock and are due all the same.
    """

    task_type: str
    shard: int
    due_in_seconds: float
    moment: int = 0  # of its order_time, in microseconds; to be compared with others of the database only
    ahead_seconds: float = 0.0


def read_heads(connection: Connection, tasks: Table, status: Status) -> list[Head]:
    """Read the first row of each lane in ``status``: what is due, where, and when to look again."""
    return [Head(*row) for row in connection.execute(_heads(dialect_of(connection.dialect.name), tasks, int(status)))]


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
    marks = _PageMarks(heads)
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


class _PageMarks(dict[str, tuple[str, int, int, int]]):
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
    """Return the select of one page: the due rows of a lane, in the index's own order."""
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

"""The run side's statements, each a named function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, TypeVar, overload

from sqlalchemy import (
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
from asyncflow.outbox.dialects.protocol import HeadsOf
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import Task
from asyncflow.scheduler.heads.templates import TYPE, Template, number, read_joined, text_of
from asyncflow.scheduler.heads.type_rows import RowMark, RowMarks, TypeMarks, lane_fields, rows_of_a_type, tasks_of
from asyncflow.scheduler.table.timed_ids import Cut, timed_id

MOST_PAGES = 64  # in one statement: more branches cost the planner more than another statement costs

T = TypeVar("T")
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


def read_heads_of(connection: Connection, tasks: Table, status: Status, task_type: str, shards: int) -> list[Head]:
    """Read the same of one task type, of which most rows are in the first ``shards``."""
    statement = _heads_of_type(dialect_of(connection.dialect.name), tasks, int(status), shards)
    return [Head(*row) for row in connection.execute(statement, {"its_type": task_type})]


def read_heads_among(
    connection: Connection, tasks: Table, status: Status, names: Iterable[str], shards: int
) -> list[Head]:
    """Read the same of some task types, in one statement where the database has one for that."""
    dialect, wanted = dialect_of(connection.dialect.name), list(names)
    if len(wanted) < 2 or not dialect.takes_named_types:
        return [head for name in wanted for head in read_heads_of(connection, tasks, status, name, shards)]
    statement = _heads(dialect, tasks, int(status), of="types_named")
    return [Head(*row) for row in connection.execute(statement, {"its_types": wanted})]


def read_heads_behind(
    connection: Connection, tasks: Table, status: Status, task_type: str | None, limit: int
) -> list[Head]:
    """Read the same of the first ``limit`` lanes of all types, or of those behind a type, in the order of the index."""
    of: HeadsOf = "all_types" if task_type is None else "types_behind"
    statement = _some_heads(connection.dialect, tasks, int(status), of)
    return [Head(*row) for row in connection.execute(statement, {"its_type": task_type, "most": limit})]


def read_types(connection: Connection, tasks: Table, status: Status) -> list[str]:
    """Read the task types that have rows in ``status``, in the order of the index."""
    return list(connection.execute(_types(dialect_of(connection.dialect.name), tasks, int(status))).scalars())


@lru_cache(maxsize=64)
def _types(dialect: DatabaseDialect, tasks: Table, status: int) -> Any:
    return dialect.types(tasks, status)


@lru_cache(maxsize=64)
def _heads(dialect: DatabaseDialect, tasks: Table, status: int, *, of: HeadsOf = "all_types") -> Any:
    return dialect.heads(tasks, status, of=of)


@lru_cache(maxsize=64)
def _heads_of_type(dialect: DatabaseDialect, tasks: Table, status: int, shards: int) -> Any:
    return dialect.heads_of_type(tasks, status, shards)


@lru_cache(maxsize=64)
def _some_heads(dialect: Any, tasks: Table, status: int, of: HeadsOf) -> Any:
    return _heads(dialect_of(dialect.name), tasks, status, of=of).limit(bindparam("most", type_=Integer()))


class Moments(Sequence[int]):
    """Tell the order_time of each of some rows, in microseconds; read where it is asked for, mostly of a few.

    A slice of it reads none.
    """

    __slots__ = ("_cut", "_moment", "_place", "_raw_ids", "_timed")

    def __init__(self, timed: Sequence[Any], cut: Cut, raw_ids: Sequence[Any] | None = None) -> None:
        self._timed = timed  # ids of rows that bring their times along
        self._raw_ids = raw_ids  # those of the tasks, where they are at hand: to cut and to hash others takes longer
        self._cut = cut
        self._moment, self._place = cut.moment, cut.of_moment

    def __len__(self) -> int:
        return len(self._timed)

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> Moments: ...
    def __getitem__(self, place: int | slice) -> int | Moments:
        if isinstance(place, slice):
            return Moments(self._timed[place], self._cut, self._raw_ids and self._raw_ids[place])
        return self._moment(self._timed[place][self._place])

    def __iter__(self) -> Iterator[int]:
        return iter(self._cut.moments(self._timed))

    def with_ids(self) -> Iterator[tuple[Any, int]]:
        """Return the raw ids of the rows, each with its order_time."""
        return zip(self._raw_ids or self._cut.raw_ids(self._timed), self, strict=True)


class Pages(list[Task]):
    """Hold the rows of some pages, page by page, and in ``moments`` the order_time of each, in microseconds.

    ``parts`` are the same, as they were read.
    """

    __slots__ = ("moments", "parts")

    def __init__(self, tasks: Iterable[Task] = (), moments: Sequence[int] = (), parts: Sequence[Moments] = ()) -> None:
        super().__init__(tasks)
        self.moments = moments
        self.parts = parts


def read_pages(
    connection: Connection, tasks: Table, heads: Sequence[Head], limits: int | Sequence[int], *, newest: bool = False
) -> Pages:
    """Read due rows of each head up to its limit, in order_time within each, or in reverse the ``newest``.

    Heads of one type that follow each other are read by one branch of a statement where the database can.
    """
    limits = [limits] * len(heads) if isinstance(limits, int) else limits
    can = len(heads) > 1 and not newest and dialect_of(connection.dialect.name).limits_each_lane
    if can and (template := rows_of_a_type(tasks, connection.dialect)) is not None:
        return _joined([_read_lanes(connection, template, lanes) for lanes in _within(_lanes_of(heads, limits))])
    pages = list(zip(heads, limits, strict=True))
    template = _page_template(tasks, connection.dialect, newest)
    return _joined([_read_few_pages(connection, template, few) for few in _within(pages)])


def _within(parts: Sequence[T]) -> Iterable[Sequence[T]]:
    return (parts[first : first + MOST_PAGES] for first in range(0, len(parts), MOST_PAGES))


def _joined(found: Sequence[Pages]) -> Pages:
    if len(found) == 1:
        return found[0]
    moments = [moment for pages in found for moment in pages.moments]
    parts = [part for pages in found for part in pages.parts]
    return Pages(chain.from_iterable(found), moments, parts)


def _read_few_pages(connection: Connection, template: Template, pages: Sequence[tuple[Head, int]]) -> Pages:
    fields = [
        {"number": number, "shard": head.shard, "limit": limit, "ahead": round(head.ahead_seconds * 1e6)}
        for number, (head, limit) in enumerate(pages)
    ]
    heads = [head for head, _ in pages]
    rows = read_joined(connection, template, fields, [head.task_type for head in heads])
    return _pages_of(rows, template, _PageMarks(heads))


class _LaneRun(NamedTuple):
    task_type: str
    ahead_seconds: float
    shards: list[int]
    limits: list[int]


def _lanes_of(heads: Iterable[Head], limits: Iterable[int]) -> list[_LaneRun]:
    """Put those of a type together that follow each other, so that the rows come as the heads do."""
    found: list[_LaneRun] = []
    for head, limit in zip(heads, limits, strict=True):
        if not found or found[-1][:2] != (head.task_type, head.ahead_seconds):
            found.append(_LaneRun(head.task_type, head.ahead_seconds, [], []))
        found[-1].shards.append(head.shard)
        found[-1].limits.append(limit)
    return found


def _read_lanes(connection: Connection, template: Template, lanes: Sequence[_LaneRun]) -> Pages:
    names = [one.task_type for one in lanes]
    fields = [lane_fields(number, one.shards, one.limits, one.ahead_seconds) for number, one in enumerate(lanes)]
    return _pages_of(read_joined(connection, template, fields, names), template, TypeMarks(names))


def _pages_of(rows: Sequence[Any], template: Template, marks: RowMarks) -> Pages:
    if not rows:
        return Pages()
    read = tasks_of(rows, template.cut, marks)
    moments = Moments(read.timed_ids, template.cut, read.raw_ids)
    return Pages(read.tasks, moments, (moments,))


class _PageMarks(dict[str | bytes, RowMark]):
    """Turn the mark of a row, ``page:retry_count:max_retries``, into task type, shard and the two counts.

    Nearly all rows of a page bear the same mark. A driver in Python takes longer for each column it decodes
    than the database takes to find the row, so four columns are sent as one, behind the id, and taken apart once.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        super().__init__()
        self._heads = heads

    def __missing__(self, mark: str | bytes) -> RowMark:
        text = mark if isinstance(mark, str) else mark.decode()
        number, retry_count, max_retries = map(int, text.split(":"))
        head = self._heads[number]
        counts = self[mark] = (head.task_type, head.shard, retry_count, max_retries, number)
        return counts


@lru_cache(maxsize=64)
def _page_template(tasks: Table, dialect: Any, newest: bool) -> Template:
    """Return what all pages of a table have in common on connections of a dialect of SQLAlchemy's."""
    return Template.of(page(tasks, newest=newest), dialect, ("number", "shard", "limit", "ahead"))


def page(tasks: Table, *, newest: bool = False) -> Select[Any]:
    """Return the select of one page: the due rows of a lane, in the index's own order."""
    t = tasks.c
    return (
        select(timed_id(t.id, t.order_time, _mark(tasks)), t.task_key, t.headers, t.payload)
        .where(
            t.status == literal_column(str(int(Status.PENDING)), Integer()),
            t.task_type == TYPE,
            t.shard == number("shard"),
            t.order_time <= after_now(number("ahead")),
        )
        .order_by(*((t.order_time.desc(), t.id.desc()) if newest else (t.order_time, t.id)))
        .limit(number("limit"))
    )


def _mark(tasks: Table) -> ColumnElement[str]:
    retry_count, max_retries = (cast(count, String()) for count in (tasks.c.retry_count, tasks.c.max_retries))
    return text_of("number", ":") + retry_count + literal_column("':'", String()) + max_retries

"""The rows of a task type in some of its lanes, by one branch of a statement; and tasks of rows that bear marks.

To plan a branch costs a server several times what it costs to find the three rows of a lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Integer, Select, String, Table, cast, literal_column, select

from asyncflow.outbox.clock import after_now
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.protocol import LaneNumbers
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import Task
from asyncflow.scheduler.heads.templates import TYPE, Template, number, text_of
from asyncflow.scheduler.table.timed_ids import Cut, timed_id

RowMark = tuple[str, int, int, int, int]  # task type, shard, retry_count, max_retries, and a number in the statement
RowMarks = Mapping[str | bytes, RowMark]

_first_of = itemgetter(0)
# What Task._make does, without a call in Python for each row. And nothing else is made for each: the collector of
# garbage looks at tuples and iterators alike, and takes longer for them than it takes to make them.
_task: Callable[[tuple[Any, ...]], Task] = partial(tuple.__new__, Task)


class MarkedTasks(NamedTuple):
    """Hold the ``tasks`` of rows, their ids with the times and without, and their marks."""

    tasks: list[Task]
    timed_ids: list[Any]
    raw_ids: list[Any]  # the same objects as in the tasks, whose hashes are computed once
    marks: list[RowMark]


def tasks_of(rows: Iterable[Any], cut: Cut, marks: RowMarks) -> MarkedTasks:
    """Make tasks of rows as the driver gave them: timed id with a mark behind it, key, headers and payload."""
    timed_ids = list(map(_first_of, rows))
    marks_of_rows = list(map(marks.__getitem__, cut.texts(timed_ids)))
    raw_ids = list(cut.raw_ids(timed_ids))
    read = zip(raw_ids, marks_of_rows, rows, strict=True)
    tasks = [
        _task((raw_id, task_type, shard, key, headers, payload, retry_count, max_retries))
        for raw_id, (task_type, shard, retry_count, max_retries, _), (_, key, headers, payload) in read
    ]
    return MarkedTasks(tasks, timed_ids, raw_ids, marks_of_rows)


@lru_cache(maxsize=64)
def rows_of_a_type(tasks: Table, dialect: Any) -> Template | None:
    """Return the text of a type's rows; None where a page for each lane is as good."""
    numbers = LaneNumbers(number("shards"), number("limits"), number("limit"))
    statement = dialect_of(dialect.name).lanes(tasks, _due(tasks), numbers)
    fields = ("number", "ahead", *numbers._fields)
    return None if statement is None else Template.of(statement, dialect, fields)


def lane_fields(number_: int, shards: Sequence[int], limits: Sequence[int], ahead_seconds: float) -> dict[str, Any]:
    """Return what is written into the text: the number of the type, its lanes, and how many rows each may give."""
    return {
        "number": number_,
        "shards": ",".join(map(str, shards)),
        "limits": ",".join(map(str, limits)),
        "limit": sum(limits),
        "ahead": round(ahead_seconds * 1e6),
    }


class TypeMarks(dict[str | bytes, RowMark]):
    """Turn the mark of a row, ``number:shard:retry_count:max_retries``, into what the rows with it have in common."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, mark: str | bytes) -> RowMark:
        text = mark if isinstance(mark, str) else mark.decode()
        number_, shard, retry_count, max_retries = map(int, text.split(":"))
        told = self[mark] = (self._names[number_], shard, retry_count, max_retries, number_)
        return told


def _due(tasks: Table) -> Select[Any]:
    """Return the select of the due rows of a type, each marked with its group, shard and counts of retries."""
    t, colon = tasks.c, literal_column("':'", String())
    shard, spent, most = (cast(column, String()) for column in (t.shard, t.retry_count, t.max_retries))
    mark = text_of("number", ":") + shard + colon + spent + colon + most
    return select(timed_id(t.id, t.order_time, mark), t.task_key, t.headers, t.payload).where(
        t.status == literal_column(str(int(Status.PENDING)), Integer()),
        t.task_type == TYPE,
        t.order_time <= after_now(number("ahead")),
    )

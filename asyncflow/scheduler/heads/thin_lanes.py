"""Pages of many lanes of which most hold few rows: one branch of a statement for each task type, not for each lane.

To plan a branch costs a server several times what it costs to find the three rows of a lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, String, Table, cast, literal_column, select

from asyncflow.outbox.clock import after_now
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.protocol import LaneNumbers
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import Task
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Moments, Pages, read_pages
from asyncflow.scheduler.heads.templates import TYPE, Template, number, read_joined, text_of
from asyncflow.scheduler.table.timed_ids import cut_of, timed_id

_task: Callable[[tuple[Any, ...]], Task] = partial(tuple.__new__, Task)  # Task._make, without a call in Python
_FULL = 2  # a type is thick no more when its pages hold less than one part in so many


class _TypeLanes(NamedTuple):
    """Hold the places of a type's lanes among all heads, in the order of their shards."""

    task_type: str
    places: Sequence[int]


class ThinLanes:
    """Read pages as ``read_pages`` does; lives as long as the loop that reads, used by its thread.

    Where the database can only limit what a whole type gives, a type that has more is read by pages, and known as
    ``thick`` for as long as these are filled.
    """

    def __init__(self) -> None:
        self._thick: set[str] = set()

    def read(self, connection: Connection, tasks: Table, heads: Sequence[Head], limits: Sequence[int]) -> Pages:
        """Read due rows of each head up to its limit."""
        template = _template(tasks, connection.dialect)
        if len(heads) <= MOST_PAGES or template is None:
            return read_pages(connection, tasks, heads, limits)
        rows = _LaneRows(len(heads))
        thin = [group for group in _groups(heads) if group.task_type not in self._thick]
        for few in _within(thin, MOST_PAGES):
            for name in self._read_groups(connection, template, few, heads, limits, rows):
                self._thick.add(name)
        self._read_thick(connection, tasks, heads, limits, rows)
        return rows.pages(limits)

    def _read_groups(
        self,
        connection: Connection,
        template: Template,
        groups: Sequence[_TypeLanes],
        heads: Sequence[Head],
        limits: Sequence[int],
        rows: _LaneRows,
    ) -> list[str]:
        """Read some types whole; return those that have more than their lanes may give."""
        fields: list[dict[str, Any]] = [
            {
                "number": place,
                "shards": ",".join(str(heads[one].shard) for one in group.places),
                "limits": ",".join(str(limits[one]) for one in group.places),
                "limit": sum(limits[one] for one in group.places),
                "ahead": round(heads[group.places[0]].ahead_seconds * 1e6),
            }
            for place, group in enumerate(groups)
        ]
        found = read_joined(connection, template, fields, [group.task_type for group in groups])
        counts = rows.take_in(connection, found, groups, heads)
        is_exact = dialect_of(connection.dialect.name).limits_each_lane
        cut = [group for place, group in enumerate(groups) if counts[place] >= fields[place]["limit"]]
        for group in () if is_exact else cut:
            rows.forget(group.places)
        return [] if is_exact else [group.task_type for group in cut]

    def _read_thick(
        self, connection: Connection, tasks: Table, heads: Sequence[Head], limits: Sequence[int], rows: _LaneRows
    ) -> None:
        places = [place for place, head in enumerate(heads) if head.task_type in self._thick]
        if not places:
            return
        found = read_pages(connection, tasks, [heads[one] for one in places], [limits[one] for one in places])
        rows.parts += found.parts
        at = {heads[place][:2]: place for place in places}
        for task, moment in zip(found, found.moments, strict=True):
            rows.add(at[task.task_type, task.shard], task, moment)
        wanted, had = dict.fromkeys(self._thick, 0), dict.fromkeys(self._thick, 0)
        for place in places:
            wanted[heads[place].task_type] += limits[place]
            had[heads[place].task_type] += len(rows.tasks[place])
        self._thick -= {name for name, most in wanted.items() if most and had[name] * _FULL < most}


class _LaneRows:
    """Hold the rows of each lane, by its place; made for one reading, used by its thread."""

    def __init__(self, lanes: int) -> None:
        self.tasks: list[list[Task]] = [[] for _ in range(lanes)]
        self.moments: list[list[int]] = [[] for _ in range(lanes)]
        self.parts: list[Moments] = []  # of all that was read, as it came

    def add(self, place: int, task: Task, moment: int) -> None:
        self.tasks[place].append(task)
        self.moments[place].append(moment)

    def take_in(
        self, connection: Connection, found: Sequence[Any], groups: Sequence[_TypeLanes], heads: Sequence[Head]
    ) -> list[int]:
        """Add rows as a statement gave them; return how many there were of each group."""
        if not found:
            return [0] * len(groups)
        cut, marks = cut_of(connection.dialect.name), _LaneMarks(groups, heads, self)
        timed_ids, keys, headers, payloads = zip(*found, strict=True)
        self.parts.append(Moments(timed_ids, cut))
        ids, moments = cut.raw_ids(timed_ids), map(cut.moment_in, timed_ids)
        rows = zip(cut.texts(timed_ids), ids, moments, keys, headers, payloads, strict=True)
        for mark, raw_id, moment, key, its_headers, payload in rows:
            add_task, add_moment, task_type, shard, retry_count, max_retries = marks[mark]
            add_task(_task((raw_id, task_type, shard, key, its_headers, payload, retry_count, max_retries)))
            add_moment(moment)
        return [sum(len(self.tasks[place]) for place in group.places) for group in groups]

    def forget(self, places: Iterable[int]) -> None:
        for place in places:
            self.tasks[place], self.moments[place] = [], []

    def pages(self, limits: Sequence[int]) -> Pages:
        """Return the rows page by page, none beyond its limit."""
        rows, moments = list[Task](), list[int]()
        for its_tasks, its_moments, limit in zip(self.tasks, self.moments, limits, strict=True):
            rows += its_tasks[:limit]
            moments += its_moments[:limit]
        return Pages(rows, moments, self.parts)


class _LaneMarks(dict[str | bytes, tuple[Callable[[Task], None], Callable[[int], None], str, int, int, int]]):
    """Turn the mark of a row, ``group:shard:retry_count:max_retries``, into where it is added, and what it shares."""

    def __init__(self, groups: Sequence[_TypeLanes], heads: Sequence[Head], rows: _LaneRows) -> None:
        super().__init__()
        self._places = {
            (number_, heads[place].shard): place for number_, group in enumerate(groups) for place in group.places
        }
        self._names = [group.task_type for group in groups]
        self._rows = rows

    def __missing__(
        self, mark: str | bytes
    ) -> tuple[Callable[[Task], None], Callable[[int], None], str, int, int, int]:
        text = mark if isinstance(mark, str) else mark.decode()
        number_, shard, retry_count, max_retries = map(int, text.split(":"))
        place = self._places[number_, shard]
        add_task, add_moment = self._rows.tasks[place].append, self._rows.moments[place].append
        told = self[mark] = (add_task, add_moment, self._names[number_], shard, retry_count, max_retries)
        return told


def _groups(heads: Sequence[Head]) -> list[_TypeLanes]:
    places: dict[str, list[int]] = {}
    for place in sorted(range(len(heads)), key=lambda place: heads[place].shard):
        places.setdefault(heads[place].task_type, []).append(place)
    return [_TypeLanes(name, of_type) for name, of_type in places.items()]


def _within(groups: Sequence[_TypeLanes], most: int) -> Iterable[Sequence[_TypeLanes]]:
    return (groups[first : first + most] for first in range(0, len(groups), most))


@lru_cache(maxsize=64)
def _template(tasks: Table, dialect: Any) -> Template | None:
    """Return the text of a type's rows; None where a page for each lane is as good."""
    numbers = LaneNumbers(number("shards"), number("limits"), number("limit"))
    statement = dialect_of(dialect.name).lanes(tasks, _due(tasks), numbers)
    fields = ("number", "ahead", *numbers._fields)
    return None if statement is None else Template.of(statement, dialect, fields)


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

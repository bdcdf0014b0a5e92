"""Pages of many lanes of which most hold few rows: one branch of a statement for each task type, not for each lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.task import Task
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Moments, Pages, read_pages
from asyncflow.scheduler.heads.templates import Template, read_joined
from asyncflow.scheduler.heads.type_rows import RowMark, lane_fields, rows_of_a_type, tasks_of
from asyncflow.scheduler.table.timed_ids import Cut

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
        template = rows_of_a_type(tasks, connection.dialect)
        is_each_limited = dialect_of(connection.dialect.name).limits_each_lane  # then pages are read by types, too
        if len(heads) <= MOST_PAGES or template is None or is_each_limited:
            return read_pages(connection, tasks, heads, limits)
        rows = _LaneRows()
        thin = [group for group in _groups(heads) if group.task_type not in self._thick]
        for few in _within(thin, MOST_PAGES):
            self._thick |= self._read_groups(connection, template, few, heads, limits, rows)
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
    ) -> set[str]:
        """Read some types whole; return those that have more than their lanes may give."""
        fields = [
            lane_fields(
                number,
                [heads[place].shard for place in group.places],
                [limits[place] for place in group.places],
                heads[group.places[0]].ahead_seconds,
            )
            for number, group in enumerate(groups)
        ]
        found = read_joined(connection, template, fields, [group.task_type for group in groups])
        rows.take_in(found, template.cut, _LaneMarks(groups, heads))
        counts = Counter(rows.places)
        cut = [
            group
            for group, its in zip(groups, fields, strict=True)
            if sum(counts[place] for place in group.places) >= its["limit"]
        ]
        if cut:
            rows.forget({place for group in cut for place in group.places})
        return {group.task_type for group in cut}

    def _read_thick(
        self, connection: Connection, tasks: Table, heads: Sequence[Head], limits: Sequence[int], rows: _LaneRows
    ) -> None:
        places = [place for place, head in enumerate(heads) if head.task_type in self._thick]
        if not places:
            return
        found = read_pages(connection, tasks, [heads[one] for one in places], [limits[one] for one in places])
        at = {heads[place][:2]: place for place in places}
        rows.add([at[task.task_type, task.shard] for task in found], found, found.moments, found.parts)
        had, wanted = Counter(task.task_type for task in found), Counter[str]()
        for place in places:
            wanted[heads[place].task_type] += limits[place]
        self._thick -= {name for name, most in wanted.items() if most and had[name] * _FULL < most}


class _LaneRows:
    """Hold rows, and the place of the lane of each among all; made for one reading, used by its thread."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self._tasks: list[Task] = []
        self._moments: list[int] = []
        self._parts: list[Moments] = []  # of all that was read, as it came

    def add(
        self, places: Iterable[int], tasks: Iterable[Task], moments: Iterable[int], parts: Iterable[Moments]
    ) -> None:
        self.places += places
        self._tasks += tasks
        self._moments += moments
        self._parts += parts

    def take_in(self, found: Sequence[Any], cut: Cut, marks: _LaneMarks) -> None:
        """Add rows as a statement gave them."""
        read = tasks_of(found, cut, marks)
        moments = Moments(read.timed_ids, cut, read.raw_ids)
        self.add([mark[-1] for mark in read.marks], read.tasks, moments, (moments,))

    def forget(self, places: Container[int]) -> None:
        """Forget the rows of these lanes."""
        kept = [number for number, place in enumerate(self.places) if place not in places]
        self._tasks, self._moments = _at(self._tasks, kept), _at(self._moments, kept)
        self.places = _at(self.places, kept)

    def pages(self, limits: Sequence[int]) -> Pages:
        """Return the rows page by page, none beyond its limit."""
        order = sorted(range(len(self.places)), key=self.places.__getitem__)
        counts = Counter(self.places)
        if any(count > limits[place] for place, count in counts.items()):
            numbers = chain.from_iterable(range(counts[place]) for place in sorted(counts))
            order = [one for one, number in zip(order, numbers, strict=True) if number < limits[self.places[one]]]
        return Pages(_at(self._tasks, order), _at(self._moments, order), self._parts)


class _LaneMarks(dict[str | bytes, RowMark]):
    """Turn the mark of a row, ``group:shard:retry_count:max_retries``, into what it shares, and its lane's place."""

    def __init__(self, groups: Sequence[_TypeLanes], heads: Sequence[Head]) -> None:
        super().__init__()
        self._places = {
            (number, heads[place].shard): place for number, group in enumerate(groups) for place in group.places
        }
        self._names = [group.task_type for group in groups]

    def __missing__(self, mark: str | bytes) -> RowMark:
        text = mark if isinstance(mark, str) else mark.decode()
        number, shard, retry_count, max_retries = map(int, text.split(":"))
        told = self[mark] = (self._names[number], shard, retry_count, max_retries, self._places[number, shard])
        return told


_Any = TypeVar("_Any")


def _at(values: Sequence[_Any], numbers: Iterable[int]) -> list[_Any]:
    return list(map(values.__getitem__, numbers))


def _groups(heads: Sequence[Head]) -> list[_TypeLanes]:
    places: dict[str, list[int]] = {}
    for place in sorted(range(len(heads)), key=lambda place: heads[place].shard):
        places.setdefault(heads[place].task_type, []).append(place)
    return [_TypeLanes(name, of_type) for name, of_type in places.items()]


def _within(groups: Sequence[_TypeLanes], most: int) -> Iterable[Sequence[_TypeLanes]]:
    return (groups[first : first + most] for first in range(0, len(groups), most))

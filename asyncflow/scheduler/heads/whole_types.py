"""Task types that are read whole: where few rows of a type are due, nobody needs to know in which lanes they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import DatabaseDialect
from asyncflow.outbox.task import Task
from asyncflow.scheduler.heads.queries import Moments
from asyncflow.scheduler.heads.templates import read_joined
from asyncflow.scheduler.heads.thin_lanes import rows_of_a_type

_task: Callable[[tuple[Any, ...]], Task] = partial(tuple.__new__, Task)  # Task._make, without a call in Python


class WholeTypes(NamedTuple):
    """Hold the due rows of some types, of each in order_time, and in ``moments`` the order_time of all."""

    of_types: list[list[Task]]
    moments: Moments | None  # None: there are no rows


def reads_whole_types(dialect: DatabaseDialect) -> bool:
    """Tell whether types can be read whole: where the lanes that are read of one have their limit together."""
    return dialect.locks_rows and not dialect.limits_each_lane


def read_whole_types(
    connection: Connection, tasks: Table, names: Sequence[str], shards: Sequence[int], limit: int
) -> WholeTypes:
    """Read what is due of each type in the shards, by one statement; a type that gives ``limit`` rows may have more."""
    template = rows_of_a_type(tasks, connection.dialect)
    if template is None:
        raise NotImplementedError(f"{connection.dialect.name} reads no types whole")
    of_shards = {"shards": ",".join(map(str, shards)), "limits": ",".join([str(limit)] * len(shards))}
    fields = [{**of_shards, "number": number, "limit": limit, "ahead": 0} for number in range(len(names))]
    rows = read_joined(connection, template, fields, names)
    found: list[list[Task]] = [[] for _ in names]
    if not rows:
        return WholeTypes(found, None)
    cut = template.cut
    timed_ids = list(map(itemgetter(0), rows))
    of_marks = list(map(_TypeMarks(names).__getitem__, cut.texts(timed_ids)))
    read = zip(cut.raw_ids(timed_ids), of_marks, rows, strict=True)
    its_tasks = [
        _task((raw_id, name, shard, key, headers, payload, retry_count, max_retries))
        for raw_id, (_, name, shard, retry_count, max_retries), (_, key, headers, payload) in read
    ]
    numbers = list(map(itemgetter(0), of_marks))
    moments = Moments(timed_ids, cut)
    known = list(moments)
    for number, places in groupby(range(len(its_tasks)), key=numbers.__getitem__):
        found[number] += map(its_tasks.__getitem__, sorted(places, key=known.__getitem__))
    return WholeTypes(found, moments)


class _TypeMarks(dict[str | bytes, tuple[int, str, int, int, int]]):
    """Turn the mark of a row, ``number:shard:retry_count:max_retries``, into what the rows with it have in common."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, mark: str | bytes) -> tuple[int, str, int, int, int]:
        text = mark if isinstance(mark, str) else mark.decode()
        number, shard, retry_count, max_retries = map(int, text.split(":"))
        told = self[mark] = (number, self._names[number], shard, retry_count, max_retries)
        return told

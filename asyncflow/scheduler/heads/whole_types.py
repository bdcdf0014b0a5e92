"""Task types that are read whole: where few rows of a type are due, nobody needs to know in which lanes they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import DatabaseDialect
from asyncflow.outbox.task import Task
from asyncflow.scheduler.heads.queries import Moments
from asyncflow.scheduler.heads.templates import read_joined
from asyncflow.scheduler.heads.type_rows import TypeMarks, rows_of_a_type, tasks_of


class WholeTypes(NamedTuple):
    """Hold the due rows of some types, of each in order_time, and in ``moments`` the order_time of all."""

    of_types: list[list[Task]]
    moments: Moments | None  # None: there are no rows


def reads_whole_types(dialect: DatabaseDialect) -> bool:
    """Tell whether types are read whole: where the lanes of one are read together."""
    return dialect.joins_lanes


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
    read = tasks_of(rows, template.cut, TypeMarks(names))
    numbers = [mark[-1] for mark in read.marks]
    moments = Moments(read.timed_ids, template.cut, read.raw_ids)
    known = list(moments)
    by_type = sorted(range(len(rows)), key=numbers.__getitem__)  # as they come, mostly
    for number, places in groupby(by_type, key=numbers.__getitem__):
        found[number] += map(read.tasks.__getitem__, sorted(places, key=known.__getitem__))
    return WholeTypes(found, moments)

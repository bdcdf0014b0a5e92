"""Ids that bring the times of their rows along: what a page is put in order by costs no column of its own.

A driver in Python takes longer for each column it decodes than the database takes to find the row. Cutting a value in
two takes a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from asyncflow.outbox.clock import moment_of
from asyncflow.scheduler.table.raw_ids import Raw

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class timed_id(FunctionElement[Any]):  # noqa: N801 - a SQL function's name
    """Compile to an id and a time as one value, which ``Cut`` takes apart."""

    type = Raw()
    inherit_cache = True
    name = "timed_id"


@compiles(timed_id, "mysql")
@compiles(timed_id, "mariadb")
def _mysql(element: timed_id, compiler: Any, **kw: Any) -> str:
    task_id, time = element.clauses
    return f"CONCAT({compiler.process(task_id, **kw)}, {compiler.process(moment_of(time), **kw)})"


@compiles(timed_id, "postgresql")
def _postgresql(element: timed_id, compiler: Any, **kw: Any) -> str:
    task_id, time = element.clauses
    return f"(CAST({compiler.process(task_id, **kw)} AS TEXT) || {compiler.process(moment_of(time), **kw)})"


@compiles(timed_id, "sqlite")
def _sqlite(element: timed_id, compiler: Any, **kw: Any) -> str:
    # As hexadecimal text: bytes that are joined become text, whatever they hold. The time is text already.
    task_id, time = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(hex({task_id}) || {time})"


class Cut(NamedTuple):
    """Tell where an id ends in a timed one, and how the two parts are read."""

    length: int
    moment: Callable[[Any], int] = int  # in microseconds, as moment_of has it
    raw_id: Callable[[Any], Any] | None = None  # None: the part as it is

    def raw_ids(self, timed: Iterable[Any]) -> list[Any]:
        """Return the ids of timed ones."""
        length, raw_id = self.length, self.raw_id
        if raw_id is None:
            return [one[:length] for one in timed]
        return [raw_id(one[:length]) for one in timed]


def _moment_of_text(time: str) -> int:
    return (datetime.fromisoformat(time).replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND


_CUTS = {"postgresql": Cut(36), "sqlite": Cut(32, _moment_of_text, bytes.fromhex)}


def cut_of(dialect_name: str) -> Cut:
    """Return how a database's timed ids are taken apart."""
    return _CUTS.get(dialect_name, Cut(16))

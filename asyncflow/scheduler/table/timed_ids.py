"""Ids that bring the times of their rows along, and what else pages are sorted out by: it costs no column of its own.

A driver in Python takes longer for each column it decodes than the database takes to find the row. Cutting a value in
parts takes a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from asyncflow.outbox.clock import moment_of
from asyncflow.outbox.dialects.raw_ids import Raw

_MOMENT_DIGITS = 16  # of the microseconds since 1970, from 2001 to 2286; what is earlier counts as of 2001
_FIRST_MOMENT = 10 ** (_MOMENT_DIGITS - 1)
_TEXT_LENGTH = 26  # of a time in SQLite, which is text: 2026-01-31 12:00:00.000000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class timed_id(FunctionElement[Any]):  # noqa: N801 - a SQL function's name
    """Compile to an id, a time and a text, if there is one, as one value, which ``Cut`` takes apart."""

    type = Raw()
    inherit_cache = True
    name = "timed_id"


@compiles(timed_id, "mysql")
@compiles(timed_id, "mariadb")
def _mysql(element: timed_id, compiler: Any, **kw: Any) -> str:
    task_id, time, *text = element.clauses
    parts = [compiler.process(task_id, **kw), _moment(compiler.process(moment_of(time), **kw))]
    return f"CONCAT({', '.join(parts + [compiler.process(one, **kw) for one in text])})"


@compiles(timed_id, "postgresql")
def _postgresql(element: timed_id, compiler: Any, **kw: Any) -> str:
    task_id, time, *text = element.clauses
    parts = [f"CAST({compiler.process(task_id, **kw)} AS TEXT)", _moment(compiler.process(moment_of(time), **kw))]
    return f"({' || '.join(parts + [compiler.process(one, **kw) for one in text])})"


@compiles(timed_id, "sqlite")
def _sqlite(element: timed_id, compiler: Any, **kw: Any) -> str:
    # As hexadecimal text: bytes that are joined become text, whatever they hold.
    task_id, *others = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({' || '.join([f'hex({task_id})', *others])})"


def _moment(moment: str) -> str:
    return f"GREATEST({moment}, {_FIRST_MOMENT})"


class Cut(NamedTuple):
    """Tell where an id ends in a timed one, and how the parts are read."""

    length: int
    moment: Callable[[Any], int] = int  # in microseconds, as moment_of has it
    raw_id: Callable[[Any], Any] | None = None  # None: the part as it is
    digits: int = _MOMENT_DIGITS

    def raw_ids(self, timed: Iterable[Any]) -> Iterator[Any]:
        """Return the ids of timed ones."""
        ids = map(itemgetter(slice(self.length)), timed)
        return ids if self.raw_id is None else map(self.raw_id, ids)

    def texts(self, timed: Iterable[Any]) -> Iterator[Any]:
        """Return what follows the times."""
        return map(itemgetter(slice(self.length + self.digits, None)), timed)

    def moments(self, timed: Iterable[Any]) -> list[int]:
        """Return the times, in microseconds."""
        return list(map(self.moment, map(itemgetter(self.of_moment), timed)))

    @property
    def of_moment(self) -> slice:
        """Return where the time stands."""
        return slice(self.length, self.length + self.digits)


def _moment_of_text(time: str) -> int:
    return (datetime.fromisoformat(time).replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND


_CUTS = {"postgresql": Cut(36), "sqlite": Cut(32, _moment_of_text, bytes.fromhex, _TEXT_LENGTH)}


def cut_of(dialect_name: str) -> Cut:
    """Return how a database's timed ids are taken apart."""
    return _CUTS.get(dialect_name, Cut(16))

"""An hour of one process: what the rows hold that it writes, of all types together and of so many by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from asyncflow.outbox.ids import new_id

OUTCOMES = ("sent", "done", "failed", "retried")  # of messages, of tasks with a handler; dead letters; attempts
ALL_TYPES = ""  # no task type has this name
MOST_TYPES = 100  # of one process in one hour; the rest is told with all types only
MINUTES = 60

Minutes = dict[str, list[int]]  # by outcome, a count for each minute of the hour


class Counted(NamedTuple):
    """Tell that something happened so many times in a minute of the hour."""

    minute: int
    task_type: str
    outcome: str
    times: int


class Hour:
    """Hold what one process has counted in an hour; used by the thread that writes it.

    ``writer`` is in the rows: nobody else writes there, and this process no second time, whatever its clock does. A
    type that has a row keeps it, so that nothing is told twice.
    """

    def __init__(self, number: int, before: Mapping[str, int]) -> None:
        self.number = number  # of hours since 1970
        self.writer = new_id()
        self.totals: Counter[str] = Counter()
        self._before = before  # the totals of the hour before, by which the busiest are known at its beginning
        self._failing: set[str] = set()
        self._types: dict[str, Minutes] = {ALL_TYPES: {}}
        self.changed: set[str] = set()  # since they were written
        self._tried: set[str] = set()  # to be written: they may be there

    def add(self, counted: Iterable[Counted]) -> None:
        """Add what was counted."""
        counted = list(counted)
        for one in counted:
            self.totals[one.task_type] += one.times
            if one.outcome == "failed":
                self._failing.add(one.task_type)
        self._name({one.task_type for one in counted})
        for one in counted:
            self._count(ALL_TYPES, one)
            if one.task_type in self._types:
                self._count(one.task_type, one)

    def rows(self) -> list[dict[str, object]]:
        """Return the rows that are not written as they are now."""
        return [
            {
                "hour": self.number,
                "task_type": name,
                "writer": self.writer,
                "total": sum(map(sum, self._types[name].values())),
                "counts": text_of(self._types[name]),
            }
            for name in sorted(self.changed)
        ]

    def begin_write(self) -> frozenset[str]:
        """Know that what has changed may be there from now on; return what may be there already."""
        before = frozenset(self._tried)
        self._tried |= self.changed
        return before

    def note_written(self) -> None:
        """Know that the rows are as they are here."""
        self.changed.clear()

    def _name(self, names: set[str]) -> None:
        """Give rows to those that fail, and then to the busiest, as long as there is room."""
        room = MOST_TYPES + 1 - len(self._types)
        if room > 0 and (unnamed := names - self._types.keys()):
            for name in sorted(unnamed, key=self._rank)[:room]:
                self._types[name] = {}

    def _rank(self, name: str) -> tuple[bool, int, str]:
        return name not in self._failing, -self.totals[name] - self._before.get(name, 0), name

    def _count(self, name: str, one: Counted) -> None:
        minutes = self._types[name].setdefault(one.outcome, [0] * MINUTES)
        minutes[one.minute] += one.times
        self.changed.add(name)


def text_of(minutes: Minutes) -> str:
    """Return the counts as JSON: by outcome a list that ends with the last minute in which there was one."""
    return orjson.dumps({outcome: _shortened(counts) for outcome, counts in minutes.items()}).decode()


def minutes_from(text: str) -> Minutes:
    """Return the counts of a text; of outcomes that another version knows none, nothing of what is no such text."""
    try:
        told = orjson.loads(text)
        return {name: [int(one) for one in told[name]][:MINUTES] for name in OUTCOMES if name in told}
    except (ValueError, TypeError):
        return {}


def _shortened(counts: list[int]) -> list[int]:
    last = max((minute for minute, count in enumerate(counts) if count), default=-1)
    return counts[: last + 1]

"""The walk through many task types that have few rows each: whatever is due of one is read, without a look at it."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection, Table

from asyncflow.outbox import Task
from asyncflow.scheduler.configuration.types_here import TypesHere
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads.parts import MOST_LANES, HeadParts
from asyncflow.scheduler.heads.planner_statistics import PlannerStatistics
from asyncflow.scheduler.heads.queries import Head, Lane, Moments
from asyncflow.scheduler.heads.whole_types import WholeTypes, read_whole_types, reads_whole_types

_MOST_TYPES = 64  # in one statement
_FEWEST_LANES = MOST_LANES // 2  # of the types of a round: with fewer in each, a walk through all would take long
_SPARE = 2  # times as many rows as types have on the average, each may have
_THICK_SECONDS = 5.0  # that a type is known to have more
_FEW_OF_LANES = 2  # less than one in so many has rows, or a row for so many: who looks for them finds them faster

SecondsClosed = Callable[[Iterable[str]], Mapping[str, float]]


class WholeRead(NamedTuple):
    """Hold the ``tasks`` that are due of the types that were ``taken``, what was ``left``, and the moments of all."""

    taken: list[str]
    tasks: list[Task]
    left: list[Task]
    moments: Moments


class TypeWalk:
    """Read type after type whole, from where the last part of the heads ended; lives as long as its relay.

    Used by its thread alone. Each walk begins with a look at the first part; it goes on while most lanes have rows,
    and types so few of them that a round holds many types. A type that has more, is ordered or in hand, ends it for a
    part, for which lanes are looked at.
    """

    def __init__(self, tasks: Table, database: Database, types: TypesHere, parts: HeadParts, shard_count: int) -> None:
        self._tasks = tasks
        self._database = database
        self._types = types
        self._parts = parts
        self._fewest_types = max(1, _FEWEST_LANES // shard_count)
        self._is_possible = reads_whole_types(database.dialect)
        self._statistics = PlannerStatistics(tasks)
        self._rows_of_type = 0.0  # on the average; 0: lanes are to be looked at
        self._rows_of_filled = 0.0  # the same of those that have rows
        self._names: list[str] = []  # of the types here, in the order of the index
        self._thick_until: dict[str, float] = {}

    def observe_lanes(self, due: Sequence[Head], lanes: int, rows: int, shards: int) -> None:
        """Take in that some of a part's lanes, all of them ``due`` in our ``shards``, held so many ``rows``."""
        names = len({head.task_type for head in due})
        are_many = len(due) * _FEW_OF_LANES >= names * shards
        self._rows_of_type = rows / lanes * len(due) / names if are_many and self._is_possible else 0.0
        self._rows_of_filled = self._rows_of_type

    def stop(self) -> None:
        """Look at lanes, until a part tells of types with few rows."""
        self._rows_of_type = 0.0

    def read(
        self, rows: int, shards: Sequence[int], in_hand: Set[Lane], seconds_closed: SecondsClosed
    ) -> WholeRead | None:
        """Read up to ``rows`` of the next types, of each all that is due; None: lanes are to be looked at."""
        most = min(int(rows / max(1.0, self._rows_of_type)), _MOST_TYPES, MOST_LANES // max(1, len(shards)))
        if self._rows_of_type == 0 or self._parts.behind is None or most < self._fewest_types:
            return None
        names = self._next(self._parts.behind, most, {name for name, _ in in_hand}, seconds_closed)
        if not names:
            return None
        limit = min(rows, int(_SPARE * self._rows_of_filled) + 1)
        found = self._database.run(lambda connection: self._read(connection, names, shards, limit))
        if found.moments is None:
            self.stop()
            return None
        taken = self._taken(names, found.of_types, limit, rows)
        if not any(taken):
            return None
        self._observe(taken, len(shards))
        self._parts.go_on_behind(names[len(taken) - 1])
        parts = found.of_types[: len(taken)], found.of_types[len(taken) :]
        tasks, left = (list(chain.from_iterable(part)) for part in parts)
        return WholeRead(names[: len(taken)], tasks, left, found.moments)

    def _read(self, connection: Connection, names: Sequence[str], shards: Sequence[int], limit: int) -> WholeTypes:
        found = read_whole_types(connection, self._tasks, names, shards, limit)
        self._statistics.after_reading(connection, sum(map(len, found.of_types)))
        return found

    def _next(self, behind: str, most: int, in_hand: Set[str], seconds_closed: SecondsClosed) -> list[str]:
        """Return the next types that can be read whole, up to the first one that cannot."""
        if len(self._names) != len(self._types.here):
            self._names = sorted(self._types.here)
        found: list[str] = []
        for name in self._names[bisect_right(self._names, behind) :]:
            if seconds_closed([name])[name] > 0:
                continue
            if name in self._types.ordered or name in in_hand or self._is_thick(name):
                return found
            found.append(name)
            if len(found) == most:
                return found
        if not found:
            self._parts.go_on_behind(None)
        return found

    def _is_thick(self, name: str) -> bool:
        until = self._thick_until.get(name)
        if until is not None and until < time.monotonic():
            del self._thick_until[name]
        return name in self._thick_until

    def _taken(self, names: Sequence[str], of_types: Sequence[list[Task]], limit: int, rows: int) -> list[int]:
        """Return how many rows there are of each of the first types, as far as they fit into the round."""
        taken: list[int] = []
        for name, its in zip(names, of_types, strict=True):
            if len(its) >= limit:
                self._thick_until[name] = time.monotonic() + _THICK_SECONDS
                break
            if sum(taken) + len(its) > rows:
                break
            taken.append(len(its))
        return taken

    def _observe(self, taken: Sequence[int], shards: int) -> None:
        each, filled = sum(taken) / len(taken), sum(taken) / sum(count > 0 for count in taken)
        self._rows_of_type = (self._rows_of_type + each) / 2 if each * _FEW_OF_LANES >= shards else 0.0
        self._rows_of_filled = (self._rows_of_filled + filled) / 2

"""Counts of tasks by type and status, at a bounded cost: none goes on beyond a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from sqlalchemy import Connection, Engine, Table

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.heads.queries import read_types
from asyncflow.scheduler.operator import queries

COUNT_LIMIT = 10_000
_LEAST_LIMIT = 100  # however many types there are
_MOST_EXAMINED = 100_000  # entries of the index, by all counts together: some tens of milliseconds
_FEW_LANES = 250  # counts in one statement
_MOST_SCANNED = 100_000  # entries of a status that are counted at one go

TypeInStatus = tuple[Status, str]


@dataclass(frozen=True, slots=True)
class TypeCounts:
    """Hold counts by status and task type; one that reached ``limit`` means "so many or more"."""

    counts: dict[TypeInStatus, int]
    limit: int

    def of(self, status: Status, task_type: str) -> int:
        """Return the count; 0 for a type that has no task in the status."""
        return self.counts.get((status, task_type), 0)

    def names(self, status: Status) -> list[str]:
        """Return the types that have tasks in the status, in the order in which the database has them."""
        return [name for its, name in self.counts if its is status]


def known_types(engine: Engine, outbox: Outbox) -> set[str]:
    """Return the types declared here, set in the table, or found in rows, by name.

    What another process declares is among them once it has rows or is set.
    """
    found = {*outbox.task_types, *outbox.handler_types, *Configurations(engine, outbox).all()}
    for status in Status:
        found.update(run_briefly(engine, partial(read_types, tasks=outbox.tasks, status=status)))
    return found


def count_types(connection: Connection, tasks: Table, statuses: Iterable[Status]) -> TypeCounts:
    """Count the tasks of each type in each of the statuses; the more types there are, the lower is the limit."""
    wanted = [(status, name) for status in statuses for name in read_types(connection, tasks, status)]
    limit = _round(max(_LEAST_LIMIT, min(COUNT_LIMIT, _MOST_EXAMINED // max(1, len(wanted)))))
    counts: dict[TypeInStatus, int] = {}
    if len(wanted) > _FEW_LANES:
        for status, ones in groupby(wanted, key=lambda one: one[0]):
            counts |= _scanned(connection, tasks, status, [name for _, name in ones])
    for few in _in_chunks([one for one in wanted if one not in counts]):
        counts |= count_up_to(connection, tasks, few, limit)
    return TypeCounts({one: min(counts[one], limit) for one in wanted}, limit)


def _round(limit: int) -> int:
    """Return the next lower number that people read at a glance: 100, 200, 500, 1000 …"""
    power: int = 10 ** (len(str(limit)) - 1)
    return next(figure * power for figure in (5, 2, 1) if figure * power <= limit)


def count_up_to(
    connection: Connection, tasks: Table, wanted: Sequence[TypeInStatus], limit: int
) -> dict[TypeInStatus, int]:
    """Count each of them in one statement, none beyond the limit."""
    statement = queries.count_up_to(tasks, len(wanted))
    values: dict[str, int | str] = {"most": limit}
    for number, (status, name) in enumerate(wanted):
        values |= {f"its_status_{number}": int(status), f"its_type_{number}": name}
    return {wanted[number]: count for number, count in connection.execute(statement, values)}


def _scanned(connection: Connection, tasks: Table, status: Status, names: Sequence[str]) -> dict[TypeInStatus, int]:
    """Count many types that have few rows each, by one walk along the index; those it did not get to are not there.

    ``names``: of the types, in the order of the walk.
    """
    values = {"its_status": int(status), "most": _MOST_SCANNED}
    found: dict[str, int] = {row[0]: row[1] for row in connection.execute(queries.count_along(tasks), values)}
    seen = [name for name in names if name in found]
    if sum(found.values()) >= _MOST_SCANNED:
        seen.pop()  # the walk may have ended in the middle of its rows
    return {(status, name): found[name] for name in seen}


def _in_chunks(wanted: Sequence[TypeInStatus]) -> Iterator[Sequence[TypeInStatus]]:
    for start in range(0, len(wanted), _FEW_LANES):
        yield wanted[start : start + _FEW_LANES]

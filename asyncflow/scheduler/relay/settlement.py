"""The outcomes of one round: until they are written, and the statements that write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Table

from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import Task
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.heads.waits import DueMoments, Waits
from asyncflow.scheduler.loops.settled_events import Ending
from asyncflow.scheduler.publishing.order import Key, is_final, retry_wait
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Retry, Sent
from asyncflow.scheduler.relay import queries
from asyncflow.scheduler.relay.keys.parking_change import ParkingChange
from asyncflow.scheduler.table.log_lines import log_line, short_error
from asyncflow.scheduler.table.queries import standing

SUPERSEDED = "superseded: not sent, for a later message of its key is there"
# Getters in C take a fifth of what an expression takes, for each row.
_raw_id_of, _lane_of = attrgetter("raw_id"), attrgetter("task_type", "shard")


@dataclass(slots=True)
class Settlement:
    """Sort tasks by what becomes of them; those of an unreachable destination are in none: nothing changes.

    ``retried`` is grouped by (delay in seconds, error), ``failed`` by error, so that each group is one statement.
    ``superseded`` are over, and were not sent: a later one of their key is there.
    """

    succeeded: list[Task] = field(default_factory=list)
    retried: dict[tuple[float, str], list[Task]] = field(default_factory=dict)
    failed: dict[str, list[Task]] = field(default_factory=dict)
    superseded: list[Task] = field(default_factory=list)
    due_times: DueMoments | None = None  # of the round
    _counts: Counter[Lane] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls, tasks: Sequence[Task], outcomes: Sequence[Outcome | None], task_types: Mapping[str, MessageType]
    ) -> Settlement:
        """Sort the tasks by their outcomes and by their types' retry policies; one without an outcome is in none."""
        if outcomes.count(SENT) == len(tasks):
            return cls(list(tasks))
        settlement = cls()
        alike: dict[tuple[str, int, Retry], list[Task]] = {}
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, Sent):
                settlement.succeeded.append(task)
            elif isinstance(outcome, (Rejected, Retry)) and is_final(task, outcome):
                settlement.failed.setdefault(short_error(outcome.error), []).append(task)
            elif isinstance(outcome, Retry):
                alike.setdefault((task.task_type, task.retry_count, outcome), []).append(task)
        for (name, retries, refusal), its in alike.items():
            kind = task_types[name]
            for some in ([one] for one in its) if kind.retry_jitter else (its,):
                wait = retry_wait(kind, retries + 1, refusal)
                settlement.retried.setdefault((wait, short_error(refusal.error)), []).extend(some)
        return settlement

    def __len__(self) -> int:
        return sum(self.counts().values())

    def counts(self) -> dict[Status, int]:
        """Return how many tasks come to which status."""
        retried, failed = (sum(map(len, groups.values())) for groups in (self.retried, self.failed))
        return {
            Status.SUCCESS: len(self.succeeded),
            Status.PENDING: retried,
            Status.FAILED: failed,
            Status.CANCELLED: len(self.superseded),
        }

    def succeeded_of_types(self) -> Mapping[str, int]:
        """Return how many tasks of each type are done."""
        of_types = Counter[str]()
        for (name, _), count in self._succeeded_of_lanes().items():
            of_types[name] += count
        return of_types

    def lanes(self) -> set[Lane]:
        """Return the lanes of the tasks whose rows change."""
        return {*self._succeeded_of_lanes(), *map(_lane_of, self._not_succeeded())}

    def _succeeded_of_lanes(self) -> Counter[Lane]:
        """Return how many tasks of each lane are done; counted once, for lanes, shards and types are asked for."""
        if self._counts is None:
            self._counts = Counter(map(_lane_of, self.succeeded))
        return self._counts

    def endings(self) -> Iterator[Ending]:
        """Yield what is to be told of each task that was not published."""
        for (delay, error), tasks in self.retried.items():
            yield from (self._ending(task, error, delay) for task in tasks)
        for error, tasks in self.failed.items():
            yield from (self._ending(task, error, None) for task in tasks)

    def _ending(self, task: Task, error: str, delay: float | None) -> Ending:
        seconds = None if self.due_times is None else self.due_times.of(task.raw_id)
        return Ending(task.id, task.task_type, task.retry_count + 1, error, delay, seconds)

    def waits(self) -> Sequence[float]:
        """Return how long the tasks had been due when they were fetched."""
        return () if self.due_times is None else Waits((self.due_times, list(map(_raw_id_of, self.tasks()))))

    def tasks(self) -> Iterable[Task]:
        """Return all tasks whose rows change, to be gone through once."""
        return chain(self.succeeded, self._not_succeeded())

    def _not_succeeded(self) -> Iterable[Task]:
        return chain(*self.retried.values(), *self.failed.values(), self.superseded)

    def keeping(self, kept: Callable[[Task], bool]) -> Settlement:
        """Return the part of the settlement whose tasks are ``kept``."""
        return Settlement(
            list(filter(kept, self.succeeded)),
            {group: list(filter(kept, tasks)) for group, tasks in self.retried.items()},
            {group: list(filter(kept, tasks)) for group, tasks in self.failed.items()},
            list(filter(kept, self.superseded)),
            self.due_times,
        )

    def write(self, connection: Connection, table: Table, *, delete_succeeded: bool) -> int:
        """Write every outcome, a statement each; return how many rows changed."""
        changed = 0
        if self.succeeded:
            succeed = queries.delete_succeeded if delete_succeeded else queries.settle_succeeded
            changed += succeed(connection, table, list(map(_raw_id_of, self.succeeded)))
        for (delay, error), tasks in self.retried.items():
            values = {"delay": timedelta(seconds=delay), "line": log_line(error)}
            changed += _run(connection, queries.settle_retried(table), tasks, values)
        for error, tasks in self.failed.items():
            changed += _run(connection, queries.settle_failed(table), tasks, {"line": log_line(error)})
        return changed + self._write_superseded(connection, table, deletes=delete_succeeded)

    def _write_superseded(self, connection: Connection, table: Table, *, deletes: bool) -> int:
        if not self.superseded:
            return 0
        raw_ids = list(map(_raw_id_of, self.superseded))
        if deletes:
            return queries.delete_succeeded(connection, table, raw_ids)
        values = {"ids": raw_ids, "line": log_line(SUPERSEDED)}
        return connection.execute(queries.settle_superseded(table), values).rowcount

    def count_untouched(self, connection: Connection, table: Table) -> int:
        """Return of how many tasks the rows are, after a ``write``, as they were fetched."""
        rows = {
            row[0]: row for row in connection.execute(standing(table), {"ids": [one.raw_id for one in self.tasks()]})
        }
        return sum(tuple(rows.get(one.raw_id, ()))[1:] == (Status.PENDING, one.retry_count) for one in self.tasks())

    def standing(self, connection: Connection, table: Table, *, done_leave: bool) -> set[Any]:
        """Return the raw ids of the tasks whose rows are as an earlier ``write`` would have left them.

        ``done_leave``: a row that is not there any more was done.
        """
        ids = [task.raw_id for task in self.tasks()]
        rows = {row[0]: row for row in connection.execute(standing(table), {"ids": ids})} if ids else {}
        succeeded, retried, failed = (
            self.succeeded,
            chain.from_iterable(self.retried.values()),
            chain.from_iterable(self.failed.values()),
        )
        over = (*succeeded, *self.superseded)
        gone = {task.raw_id for task in over if task.raw_id not in rows} if done_leave else set()
        return (
            gone
            | {task.raw_id for task in succeeded if _has(rows.get(task.raw_id), Status.SUCCESS)}
            | {task.raw_id for task in failed if _has(rows.get(task.raw_id), Status.FAILED)}
            | {task.raw_id for task in self.superseded if _has(rows.get(task.raw_id), Status.CANCELLED)}
            | {task.raw_id for task in retried if task.raw_id in rows and rows[task.raw_id][2] > task.retry_count}
        )


@dataclass(slots=True)
class Unsettled:
    """Hold outcomes that are known and not written yet, and the shards for them.

    ``may_be_written``: a write of it has failed, and perhaps the answer to its COMMIT alone.
    """

    settlement: Settlement
    change: ParkingChange
    hold: Hold
    may_be_written: bool = False
    refusals: int = 0

    def __len__(self) -> int:
        return len(self.settlement) + len(self.change)

    def shards(self) -> set[int]:
        """Return the shards whose owner alone may write this."""
        return {shard for _, shard in self.all_lanes()}

    def lanes(self) -> set[Lane]:
        """Return the lanes of the rows whose status changes."""
        return self.settlement.lanes()

    def all_lanes(self) -> set[Lane]:
        """Return the lanes of all that is to be written."""
        return self.lanes() | self.change.lanes()

    def keeping(self, lanes: set[Lane]) -> Unsettled:
        """Return the part of these lanes."""
        settlement = self.settlement.keeping(lambda task: (task.task_type, task.shard) in lanes)
        return replace(self, settlement=settlement, change=self.change.keeping(lanes))

    def of_tasks(self, wants: Callable[[Task], bool], wants_key: Callable[[Key], bool]) -> Unsettled:
        """Return the part of the tasks and the parked keys that are wanted."""
        return replace(self, settlement=self.settlement.keeping(wants), change=self.change.of_keys(wants_key))

    def concerned(self) -> Iterator[Task]:
        """Yield the tasks whose rows are written, each at least once."""
        yield from self.settlement.tasks()
        yield from (first for first, _ in self.change.parked.values())
        yield from self.change.blocked.values()
        yield from self.change.aside
        yield from self.change.in_the_way


def _has(row: Any, status: Status) -> bool:
    return row is not None and row[1] == int(status)


def _run(connection: Connection, statement: Any, tasks: list[Task], values: Mapping[str, Any]) -> int:
    """Run a guarded statement on tasks, once for each count of retries that they were read with."""
    changed = 0
    for count, same in groupby(sorted(tasks, key=_retry_count), _retry_count):
        parameters = {"ids": [task.raw_id for task in same], "its_count": count, **values}
        changed += connection.execute(statement, parameters).rowcount
    return changed


def _retry_count(task: Task) -> int:
    return task.retry_count

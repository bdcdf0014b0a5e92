"""Rows that somebody else has locked: found without waiting, and kept in mind until they can be written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from asyncflow.outbox import Outbox, Task
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.connections.stepping_over import lock_those_free
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.publishing.order import Key, key_of
from asyncflow.scheduler.relay.keys import queries as key_queries
from asyncflow.scheduler.relay.settlement import Unsettled
from asyncflow.scheduler.table.row_locks import sort_out

_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_MOST_TASKS = 10_000  # published and not settled, before nothing more is fetched


class LockedRows:
    """Keep what was published and could not be settled for a lock; used by its relay's thread alone.

    Such a row stands as pending, and must not be fetched meanwhile; of an ordered type, neither must its key.
    """

    def __init__(self, is_ordered: Callable[[str], bool]) -> None:
        self.parts: list[Unsettled] = []  # some may hold no row, and a parked key that is locked
        self._is_ordered = is_ordered
        self._ids: set[Any] = set()
        self._keys: set[Key] = set()
        self._counts: Counter[Lane] = Counter()
        self._pause = _SHORTEST_PAUSE_SECONDS
        self._retry_at = float("inf")

    def __len__(self) -> int:
        return len(self._ids)

    def passed_over(self, tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
        """Return the tasks that are not locked, and apart those that wait behind a locked one of their key."""
        free: list[Task] = []
        behind: list[Task] = []
        for task in tasks:
            if task.raw_id not in self._ids:
                (behind if self._keys and key_of(task) in self._keys else free).append(task)
        return free, behind

    def has_key(self, key: Key) -> bool:
        """Tell whether one of the key's tasks is among them."""
        return key in self._keys

    @property
    def is_full(self) -> bool:
        """Tell whether so much waits that nothing more is to be published."""
        return len(self._ids) >= _MOST_TASKS

    @property
    def seconds_until_retry(self) -> float:
        """Return how long to wait before they are tried again; infinity if there are none."""
        return max(0.0, self._retry_at - time.monotonic())

    def count_in(self, lane: Lane) -> int:
        """Return how many stand in the way in a lane."""
        return self._counts[lane]

    def has_row(self, raw_id: Any) -> bool:
        """Tell whether a row is among them."""
        return raw_id in self._ids

    def keep(self, parts: Sequence[Unsettled], *, some_were_written: bool = True) -> None:
        """Keep these, and nothing else; the pause until they are tried doubles while none could be written."""
        self.parts = list(parts)
        tasks = [task for part in parts for task in part.concerned()]
        self._ids = {task.raw_id for task in tasks}
        self._counts = Counter((task.task_type, task.shard) for task in tasks)
        self._keys = {key_of(task) for task in tasks if self._is_ordered(task.task_type)}
        for part in parts:
            self._keys |= part.change.released.keys() | part.change.advanced.keys()
        longer = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._pause = _SHORTEST_PAUSE_SECONDS if some_were_written else longer
        self._retry_at = time.monotonic() + self._pause if parts else float("inf")


class FreePart(NamedTuple):
    """Hold the part of a round that can be written at once, with the shards that are owned still, and the rest."""

    free: Unsettled
    owned: set[int]
    left: Unsettled | None


def free_part(connection: Connection, outbox: Outbox, job: str, unsettled: Unsettled, status: int) -> FreePart:
    """Lock what can be locked of all that a settle writes, waiting for nobody."""
    shards = unsettled.shards()

    def hold(connection: Connection, some: Collection[int], skip_locked: bool) -> Sequence[Any]:
        statement = cluster_queries.hold_epochs(outbox.shards, skip_locked=skip_locked)
        return connection.execute(statement, {"its_job": job, "shards": sorted(some)}).all()

    held = lock_those_free(connection, f"{outbox.shards.fullname} of {job}", shards, hold)
    owned = {row.shard for row in held if unsettled.hold.epochs.get(row.shard) == row.epoch}
    locked_shards = shards - {row.shard for row in held}
    tasks = list(unsettled.concerned())
    found = sort_out(connection, outbox.tasks, {task.raw_id for task in tasks if task.shard in owned}, status)
    ordered = {name for name in {task.task_type for task in tasks} if outbox.task_types[name].ordered}

    def is_locked(task: Task) -> bool:
        return task.raw_id in found.locked or task.shard in locked_shards

    keys = {key_of(task) for task in tasks if task.task_type in ordered and is_locked(task)}
    keys |= _locked_keys(connection, outbox, unsettled)
    of_keys = {**unsettled.change.released, **unsettled.change.advanced}
    keys |= {key for key, shard in of_keys.items() if shard in locked_shards}

    def is_left(task: Task) -> bool:
        return is_locked(task) or (bool(keys) and task.task_type in ordered and key_of(task) in keys)

    left = unsettled.of_tasks(is_left, keys.__contains__)
    free = unsettled.of_tasks(lambda task: not is_left(task), lambda key: key not in keys)
    return FreePart(free, owned, left if len(left) else None)


def _locked_keys(connection: Connection, outbox: Outbox, unsettled: Unsettled) -> set[Key]:
    change = unsettled.change
    keys = {*change.parked, *change.blocked, *change.released, *change.advanced}
    if not keys:
        return set()
    values = {"types": sorted({key.task_type for key in keys}), "keys": sorted({key.key for key in keys})}
    there = keys & {Key(*row) for row in connection.execute(key_queries.read_keys(outbox.parked_keys), values)}

    def lock(connection: Connection, some: Collection[Key], skip_locked: bool) -> Sequence[Key]:
        statement = key_queries.lock_keys(outbox.parked_keys, skip_locked=skip_locked)
        named = {"types": sorted({key.task_type for key in some}), "keys": sorted({key.key for key in some})}
        return [Key(*row) for row in connection.execute(statement, named)]

    return there - set(lock_those_free(connection, outbox.parked_keys.fullname, there, lock))

"""What a round changes about parked keys."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from asyncflow.outbox import Task
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.publishing.order import Key, key_of


class KeyPage(NamedTuple):
    """Hold rows that were read by a parked key of ``shard``; ``is_all`` if there are no more."""

    shard: int
    tasks: list[Task]
    is_all: bool


class Surplus(NamedTuple):
    """Hold the rows of a hot key: those ``within`` its share of a page, and those ``beyond``, in their order."""

    within: list[Task]
    beyond: list[Task]


@dataclass(slots=True)
class ParkingChange:
    """Hold what a round changes: keys to park or to postpone (by seconds), to block, to release; rows to set aside.

    ``advanced`` are keys of which rows are gone and others are left; ``in_the_way`` rows to set aside that were read by
    their key, which so reaches back to them.
    """

    parked: dict[Key, tuple[Task, float]] = field(default_factory=dict)
    blocked: dict[Key, Task] = field(default_factory=dict)
    released: dict[Key, int] = field(default_factory=dict)
    advanced: dict[Key, int] = field(default_factory=dict)
    aside: list[Task] = field(default_factory=list)
    in_the_way: list[Task] = field(default_factory=list)

    def __len__(self) -> int:
        keys = len(self.parked) + len(self.blocked) + len(self.released) + len(self.advanced)
        return keys + len(self.aside) + len(self.in_the_way)

    def lanes(self) -> set[Lane]:
        """Return the lanes that are concerned."""
        firsts = (first for first, _ in self.parked.values())
        changed = (*firsts, *self.blocked.values(), *self.aside, *self.in_the_way)
        tasks = {(task.task_type, task.shard) for task in changed}
        keys = (*self.released.items(), *self.advanced.items())
        return tasks | {(key.task_type, shard) for key, shard in keys}

    def keeping(self, lanes: Collection[Lane]) -> ParkingChange:
        """Return the part of these lanes."""
        return ParkingChange(
            {key: (first, delay) for key, (first, delay) in self.parked.items() if lane_of(first) in lanes},
            {key: first for key, first in self.blocked.items() if lane_of(first) in lanes},
            {key: shard for key, shard in self.released.items() if (key.task_type, shard) in lanes},
            {key: shard for key, shard in self.advanced.items() if (key.task_type, shard) in lanes},
            [task for task in self.aside if lane_of(task) in lanes],
            [task for task in self.in_the_way if lane_of(task) in lanes],
        )

    def of_keys(self, wants: Callable[[Key], bool]) -> ParkingChange:
        """Return the part of the keys that are wanted."""
        return ParkingChange(
            {key: parked for key, parked in self.parked.items() if wants(key)},
            {key: first for key, first in self.blocked.items() if wants(key)},
            {key: shard for key, shard in self.released.items() if wants(key)},
            {key: shard for key, shard in self.advanced.items() if wants(key)},
            [task for task in self.aside if wants(key_of(task))],
            [task for task in self.in_the_way if wants(key_of(task))],
        )


def park_hot(change: ParkingChange, key: Key, rows: Surplus, gone_ids: Collection[Any]) -> None:
    """Set the surplus of a hot key aside, and let the key be read by itself, from its first row that is not gone."""
    change.aside += rows.beyond
    if key not in change.blocked:
        # Of its share some may be left, as no broker answered or a limit was reached: none may pass these.
        first = next(task for task in (*rows.within, *rows.beyond) if task.raw_id not in gone_ids)
        change.parked.setdefault(key, (first, 0.0))


def lane_of(task: Task) -> Lane:
    """Return the lane that the task stands in."""
    return task.task_type, task.shard

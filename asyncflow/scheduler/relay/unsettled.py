"""Outcomes that are known and not written yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

from asyncflow.outbox import Task
from asyncflow.scheduler.cluster.ownership import Hold
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.publishing.order import Key
from asyncflow.scheduler.relay.keys.parking_change import ParkingChange
from asyncflow.scheduler.relay.settlement import Settlement

# Getters in C take a fifth of what an expression takes, for each row.
_shard_of, _lane_of = attrgetter("shard"), attrgetter("task_type", "shard")


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
        return set(map(_shard_of, self.settlement.tasks())) | {shard for _, shard in self.change.lanes()}

    def lanes(self) -> set[Lane]:
        """Return the lanes of the rows whose status changes."""
        return set(map(_lane_of, self.settlement.tasks()))

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

"""The neighbours of hot keys: rows of a lane that stand behind the many of keys which wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table

from asyncflow.outbox import Task
from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.publishing.publisher import Outcome, Sent
from asyncflow.scheduler.relay.keys import queries
from asyncflow.scheduler.relay.keys.parking_change import lane_of

_MOST_FOUND = 1000  # in one walk: ids and keys alone
_REST_AFTER_WALK = 2.0  # times as long as it took
_KNOWN_FOR_SECONDS = 5.0


@dataclass(slots=True)
class _OneWalk:
    """Hold what one walk found in a lane and did not go yet: ids in order, each with its key; and what is given."""

    epoch: int
    found_at: float
    keys: dict[Any, str]
    given: list[Any] = field(default_factory=list)

    def leave(self, ids: Collection[Any]) -> None:
        self.keys = {raw_id: key for raw_id, key in self.keys.items() if raw_id not in ids}

    def leave_keys(self, keys: Collection[str]) -> None:
        self.keys = {raw_id: key for raw_id, key in self.keys.items() if key not in keys}


class Neighbours:
    """Find them past the hot keys, and read them by their ids; lives as long as its relay, used by its thread alone.

    To find them is to walk over all rows of the hot keys. So one walk finds those of several rounds, of which each
    reads as many as it may: how large they are, only reading tells. What was found goes in its order, or the rest of
    its key is forgotten, and found anew: nothing passes what was not sent.
    """

    def __init__(self, tasks: Table, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tasks
        self._clock = clock
        self._lanes: dict[Lane, _OneWalk] = {}
        self._next_walk_at = float("-inf")

    def read(
        self, connection: Connection, hot: Mapping[Lane, Set[str]], epochs: Mapping[int, int], limit: int
    ) -> list[Task]:
        """Read up to ``limit`` rows of each lane that stand behind its ``hot`` keys.

        Not always, for a walk takes its time.
        """
        began = self._clock()
        self._forget_old(epochs, began)
        for found in self._lanes.values():
            found.given = []
        if began >= self._next_walk_at and (lanes := [lane for lane in hot if lane not in self._lanes]):
            for lane in lanes:
                rows = self._walk(connection, lane, hot[lane])
                self._lanes[lane] = _OneWalk(epochs[lane[1]], began, rows)
            now = self._clock()
            self._next_walk_at = now + (now - began) * _REST_AFTER_WALK
        return [task for lane in hot if lane in self._lanes for task in self._read_lane(connection, lane, hot, limit)]

    def are_left(self, lane: Lane) -> bool:
        """Tell whether more of a lane is known than was read for this round."""
        found = self._lanes.get(lane)
        return found is not None and len(found.keys) > len(found.given)

    def observe(self, tasks: Sequence[Task], outcomes: Sequence[Outcome | None]) -> None:
        """Take in what became of a round: of a key that did not go, nothing is known any more."""
        if not self._lanes:
            return
        sent = {task.raw_id for task, outcome in zip(tasks, outcomes, strict=True) if isinstance(outcome, Sent)}
        for lane, found in list(self._lanes.items()):
            held_up = {found.keys[raw_id] for raw_id in found.given if raw_id not in sent}
            found.leave(set(found.given))
            found.given = []
            if held_up:
                found.leave_keys(held_up)
            if not found.keys:
                del self._lanes[lane]

    def _forget_old(self, epochs: Mapping[int, int], now: float) -> None:
        """Know nothing of shards that were another's meanwhile, nor for long: what commits late is to be found."""
        self._lanes = {
            lane: found
            for lane, found in self._lanes.items()
            if epochs.get(lane[1]) == found.epoch and now - found.found_at < _KNOWN_FOR_SECONDS
        }

    def _walk(self, connection: Connection, lane: Lane, keys: Iterable[str]) -> dict[Any, str]:
        name, shard = lane
        dialect_of(connection.dialect.name).in_index_order(connection)
        values = {"its_type": name, "its_shard": shard, "keys": sorted(keys), "limit": _MOST_FOUND}
        return dict(map(tuple, connection.execute(queries.find_past(self._tasks), values)))

    def _read_lane(self, connection: Connection, lane: Lane, hot: Mapping[Lane, Set[str]], limit: int) -> list[Task]:
        found = self._lanes[lane]
        found.leave_keys(hot[lane])
        wanted = list(found.keys)[:limit]
        if not wanted:
            del self._lanes[lane]
            return []
        rows = connection.execute(queries.read_found(self._tasks), {"ids": wanted})
        there = {task.raw_id: task for task in map(Task._make, rows) if lane_of(task) == lane}
        if missing := set(wanted) - there.keys():  # somebody has settled or changed them: what follows may not pass
            found.leave_keys({found.keys[raw_id] for raw_id in missing})
        found.given = [raw_id for raw_id in wanted if raw_id in found.keys]
        return [there[raw_id] for raw_id in found.given]

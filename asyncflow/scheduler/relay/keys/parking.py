"""The parked keys of ordered task types: each is read by itself, and holds up no other key.

A key is parked while it waits for its first task; and, due at once, while it has more rows than its share of a page.
Its rows are not sent from the pages then. They are set aside when they are met there, and read by their key, in the
order of their enqueueing, whenever the key is due.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from asyncflow.outbox import Outbox, Task
from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.configuration.types_here import TypesHere
from asyncflow.scheduler.heads.turns import dealt
from asyncflow.scheduler.publishing.order import Key, goes_on, is_final, is_in_order, key_of, retry_wait
from asyncflow.scheduler.publishing.publisher import Outcome, Unavailable
from asyncflow.scheduler.relay.keys import queries
from asyncflow.scheduler.relay.keys.parking_change import KeyPage, ParkingChange, park_hot
from asyncflow.scheduler.relay.round import Round
from asyncflow.scheduler.table.queries import MOST_AHEAD

_LOOK_AT_BLOCKED_SECONDS = 5.0


@dataclass(slots=True)
class ParkedKey:
    """Hold when a parked key is due, by the monotonic clock; a blocked one is not."""

    shard: int
    due_at: float | None


class Parking:
    """Know the parked keys of the shards that one relay reads; lives as long as it, used by its thread alone."""

    def __init__(self, outbox: Outbox, types: TypesHere) -> None:
        self._outbox = outbox
        self._types = types
        self._keys: dict[Key, ParkedKey] = {}
        self._known: dict[int, int] = {}  # shard -> the epoch in which its keys were read
        self._known_types: list[str] = []  # the ordered types of which they were read
        self._look_at_blocked_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._keys)

    def is_parked(self, task: Task) -> bool:
        """Tell whether the task's key waits."""
        return Key(task.task_type, task.key or "") in self._keys

    def knows(self, key: Key) -> bool:
        """Tell whether the key is parked in a shard that is read here."""
        return key in self._keys

    # -- reading -----------------------------------------------------------------------------------------

    def learn(self, connection: Connection, epochs: Mapping[int, int]) -> None:
        """Read the parked keys of shards that are newly owned, and forget those of others; of new types as well."""
        if self._known_types != (types := self._ordered_types()):
            self.forget()
            self._known_types = types
        new = [shard for shard, epoch in epochs.items() if self._known.get(shard) != epoch]
        kept = {shard: epoch for shard, epoch in epochs.items() if shard not in new}
        if len(kept) < len(self._known) or new:
            self._keys = {key: parked for key, parked in self._keys.items() if parked.shard in kept}
        if new:
            self._read(connection, new)
        self._known = dict(epochs)

    def _ordered_types(self) -> list[str]:
        return sorted(self._types.ordered)

    def forget(self) -> None:
        """Know nothing, so that everything is read again: what was written last did not take effect."""
        self._keys, self._known = {}, {}

    def _read(self, connection: Connection, shards: Sequence[int]) -> None:
        statement = queries.read_parked(self._outbox.parked_keys)
        for name, key, shard, seconds in connection.execute(statement, {"shards": sorted(shards)}):
            due_at = None if seconds is None else time.monotonic() + float(seconds)
            if name in self._types.ordered:
                self._keys[Key(name, key)] = ParkedKey(shard, due_at)

    def is_stale(self, epochs: Mapping[int, int]) -> bool:
        """Tell whether keys of these shards are still to be read."""
        if self._known_types != self._ordered_types():
            return True
        return any(self._known.get(shard) != epoch for shard, epoch in epochs.items())

    def seconds_until_due(self, seconds_closed: Callable[[str], float]) -> float:
        """Return how long until a key may be tried, or blocked ones are to be looked at again; infinity if none is.

        ``seconds_closed`` tells how long a task type may not go.
        """
        now = time.monotonic()
        waits = [
            max(one.due_at - now, seconds_closed(key.task_type))
            for key, one in self._keys.items()
            if one.due_at is not None
        ]
        if len(waits) < len(self._keys):
            waits.append(self._look_at_blocked_at - now)
        return max(0.0, min(waits, default=float("inf")))

    def read_due(
        self,
        connection: Connection,
        most_keys: int,
        limit_of: Callable[[Key], int],
        may_go: Callable[[Key], bool],
        met: Sequence[Task],
    ) -> dict[Key, KeyPage]:
        """Read up to ``limit_of`` rows of each of the keys that ``may_go``, of each type those first that wait longest.

        What went takes its place behind the others. A key of which the pages held a row of an earlier turn, among those
        ``met``, is left for the next round: it was committed late, and the key begins there when this one is written.
        """
        self._look_at_blocked(connection)
        now = time.monotonic()
        due = [key for key, one in self._keys.items() if one.due_at is not None and one.due_at <= now and may_go(key)]
        of_types: dict[str, list[Key]] = {}
        for key in sorted(due, key=self._due_at):
            of_types.setdefault(key.task_type, []).append(key)
        begins = self._begins(connection, dealt(list(of_types.values()), most_keys), met)
        return {key: self._read_key(connection, key, begin, limit_of(key)) for key, begin in begins.items()}

    def _due_at(self, key: Key) -> float:
        return self._keys[key].due_at or 0.0

    def _begins(self, connection: Connection, keys: Collection[Key], met: Sequence[Task] = ()) -> dict[Key, Any]:
        """Read where keys begin, in their order; None of one that is not parked. What follows reads along an index.

        Left out is a key of which a row was ``met`` that stands before its begin.
        """
        if not keys:
            return {}
        dialect_of(connection.dialect.name).in_index_order(connection)
        tasks, parked, wanted = self._outbox.tasks, self._outbox.parked_keys, set(keys)
        values = {"types": sorted({key.task_type for key in keys}), "keys": sorted({key.key for key in keys})}
        if ids := [task.raw_id for task in met if key_of(task) in wanted]:
            rows = connection.execute(queries.read_begins_and_turns(parked, tasks), {**values, "ids": ids}).all()
        else:
            rows = connection.execute(queries.read_begins(parked), values).all()
        begins = {Key(name, key): since for name, key, since, is_turn in rows if not is_turn}
        turns = [(Key(name, key), turn) for name, key, turn, is_turn in rows if is_turn]
        late = {key for key, turn in turns if key in begins and turn < begins[key]}
        return {key: begins.get(key) for key in keys if key not in late}

    def _read_key(self, connection: Connection, key: Key, begin: Any, limit: int) -> KeyPage:
        if begin is None:
            return KeyPage(self._keys[key].shard, [], True)
        values = {**_named(key), "begin": begin, "limit": limit + 1}
        rows = connection.execute(queries.read_key(self._outbox.tasks), values).all()
        return KeyPage(self._keys[key].shard, [Task._make(row) for row in rows[:limit]], len(rows) <= limit)

    def read_in_the_way(self, connection: Connection, key: Key, limit: int) -> list[Task]:
        """Read rows of a parked key that stand before others in its pages, without their payloads."""
        if (begin := self._begins(connection, [key])[key]) is None:
            return []
        values = {**_named(key), "begin": begin, "limit": limit}
        rows = connection.execute(queries.read_in_the_way(self._outbox.tasks), values)
        return [Task(raw_id, key.task_type, shard, key.key, None, None, 0, 0) for raw_id, shard in rows]

    def _look_at_blocked(self, connection: Connection) -> None:
        """Let keys go on whose dead letter was replayed, discarded or deleted."""
        now = time.monotonic()
        blocked = {one.shard for one in self._keys.values() if one.due_at is None}
        if not blocked or now < self._look_at_blocked_at:
            return
        self._look_at_blocked_at = now + _LOOK_AT_BLOCKED_SECONDS
        statement = queries.read_unblocked(self._outbox.parked_keys, self._outbox.tasks)
        for name, key, seconds in connection.execute(statement, {"shards": sorted(blocked)}):
            if (parked := self._keys.get(Key(name, key))) is not None:
                parked.due_at = now + max(0.0, float(seconds or 0))

    # -- changing ----------------------------------------------------------------------------------------

    def change_of(self, found: Round, outcomes: Sequence[Outcome | None]) -> ParkingChange:
        """Return what the outcomes of a round's tasks change.

        An outcome of None is that of a task that waits behind another of its key. A key of which the round has a
        surplus is parked, too, and due at once.
        """
        tasks = found.tasks
        aside = [task for task in found.met if key_of(task) not in found.staying]
        change = ParkingChange(aside=aside, in_the_way=found.in_the_way)
        gone: Counter[Key] = Counter()
        gone_ids: set[Any] = set()
        # A row that committed late stands in the lane's page, but not in its key's, which begins later.
        late = set(map(key_of, found.met))
        ordered = {name for name in {task.task_type for task in tasks} if self._outbox.task_types[name].ordered}
        for task, outcome in zip(tasks, outcomes, strict=True) if ordered else ():
            if is_in_order(task, ordered):
                key = Key(task.task_type, task.key or "")
                if self._take_in(change, key, task, outcome):
                    gone[key] += 1
                    gone_ids.add(task.raw_id)
        lighter = set(map(key_of, found.not_sent.over(tasks, outcomes))) if found.key_pages else set()
        for key, page in found.key_pages.items():
            if page.is_all and gone[key] == len(page.tasks) and key not in late:
                change.released[key] = page.shard
            elif (
                gone[key] or key in lighter
            ) and key not in change.blocked:  # else it begins with its dead letter, which may be replayed
                change.advanced[key] = page.shard
        for key, rows in found.surplus.items():
            park_hot(change, key, rows, gone_ids)
        return change

    def _take_in(self, change: ParkingChange, key: Key, task: Task, outcome: Outcome | None) -> bool:
        """Note what the outcome changes; return whether the task has made way for the next of its key."""
        task_type = self._types.here[task.task_type]
        if outcome is None:
            if key not in self._keys:
                change.aside.append(task)
        elif isinstance(outcome, Unavailable):
            pass  # nothing is written: the same page comes again
        elif goes_on(task, outcome, task_type.when_exhausted):
            return True
        elif is_final(task, outcome):
            change.blocked[key] = task
        else:
            change.parked[key] = (task, retry_wait(task_type, task.retry_count + 1, outcome))
        return False

    def write(self, connection: Connection, change: ParkingChange) -> None:
        """Write the change, in the transaction of the settlement.

        Whether a key is parked the table tells, not the memory: this may be written for the second time.
        """
        tasks, parked = self._outbox.tasks, self._outbox.parked_keys
        for key, (first, delay) in change.parked.items():
            self._park(connection, key, first, timedelta(seconds=delay))
        for key, first in change.blocked.items():
            self._park(connection, key, first, timedelta(0))
            connection.execute(queries.block(parked), {**_named(key), "first": first.raw_id})
        if change.aside:
            self._reach_back(connection, change.aside)
        if change.aside or change.in_the_way:
            queries.set_aside(connection, tasks, [task.raw_id for task in (*change.aside, *change.in_the_way)])
        for key in self._with_rows_aside(connection, change.released):
            change.advanced[key] = change.released.pop(key)
        for key, begin in self._begins(connection, change.advanced).items():
            if begin is not None:
                connection.execute(queries.begin_later(parked, tasks), {**_named(key), "begin": begin})
        for key in change.released:
            connection.execute(queries.release(parked), _named(key))

    def _with_rows_aside(self, connection: Connection, keys: Collection[Key]) -> set[Key]:
        """Return those of the keys that have rows which nobody would read for a day, were they released."""
        if not keys:
            return set()
        statement = queries.read_keys_with_rows_aside(self._outbox.parked_keys, self._outbox.tasks)
        values = {"types": sorted({key.task_type for key in keys}), "keys": sorted({key.key for key in keys})}
        return {key for key in itertools.starmap(Key, connection.execute(statement, values)) if key in keys}

    def _park(self, connection: Connection, key: Key, first: Task, delay: timedelta) -> None:
        tasks, parked = self._outbox.tasks, self._outbox.parked_keys
        # What is due at once waits for no clock that is set back, as little as its rows do in the pages.
        delay = delay or -MOST_AHEAD
        if not connection.execute(queries.postpone(parked), {**_named(key), "delay": delay}).rowcount:
            connection.execute(queries.park(parked, tasks), {"first": first.raw_id, "delay": delay})
        else:  # by a write whose answer was lost, or while this row was locked: it reaches back to here
            self._reach_back(connection, [first])

    def _reach_back(self, connection: Connection, rows: Sequence[Task]) -> None:
        statement = queries.begin_earlier(self._outbox.parked_keys, self._outbox.tasks)
        keys = {"types": sorted({task.task_type for task in rows}), "keys": sorted({task.key or "" for task in rows})}
        connection.execute(statement, {"ids": [task.raw_id for task in rows], **keys})

    def adopt(self, change: ParkingChange) -> None:
        """Know what was written."""
        now = time.monotonic()
        for key, (first, delay) in change.parked.items():
            self._keys[key] = ParkedKey(first.shard, now + delay)
        for key, first in change.blocked.items():
            self._keys[key] = ParkedKey(first.shard, None)
        for key in change.released:
            self._keys.pop(key, None)
        for key in change.advanced.keys() - change.parked.keys():
            if (known := self._keys.get(key)) is not None and known.due_at is not None:
                known.due_at = now  # others that are due come first


def _named(key: Key) -> dict[str, Any]:
    return {"its_type": key.task_type, "its_key": key.key}

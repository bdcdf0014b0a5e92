"""Rows of ordered types that were written while their type had no order: without turns, and in any shard."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.ids import shard_of_key
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads.queries import MOST_PAGES, read_heads_of
from asyncflow.scheduler.table.row_locks import hold_writers, sort_out
from asyncflow.scheduler.table.shards import put_into_shards
from asyncflow.scheduler.upkeep import stray_queries
from asyncflow.scheduler.upkeep.fenced_writes import FencedWrites, LaneDone

_MOST_ROWS = 5000  # in a transaction
_AT_A_GLANCE = 3  # rows of each lane


class Disordered:
    """Give such rows the place that they have by the time of their writing, before all that have turns.

    A turn reads as a time, and is later than what was written before it was drawn. In the shard of its key such a row
    goes in the order of its key, and ahead of nothing for a priority that it had. The first rows of each lane, which
    are the oldest, tell whether there are any: only then all of the type are looked through.
    """

    def __init__(self, outbox: Outbox, database: Database, writes: FencedWrites) -> None:
        self._outbox = outbox
        self._tasks = outbox.tasks
        self._database = database
        self._writes = writes

    def put_right(self, name: str, epochs: Mapping[int, int]) -> LaneDone:
        """Put all rows of a type right that stand in these shards."""
        done = LaneDone()
        if self._database.run(partial(self._are_there, name=name, shards=epochs.keys())):
            for shard, epoch in epochs.items():
                self._put_lane_right(done, name, {shard: epoch})
        return done

    def _are_there(self, connection: Connection, name: str, shards: Collection[int]) -> bool:
        heads = read_heads_of(connection, self._tasks, Status.PENDING, name, self._outbox.shard_count)
        lanes = [head.shard for head in heads if head.shard in shards]
        for start in range(0, len(lanes), MOST_PAGES):
            few = lanes[start : start + MOST_PAGES]
            glances = [stray_queries.first_of_lane(self._tasks, shard, _AT_A_GLANCE) for shard in few]
            statement = dialect_of(connection.dialect.name).pages(glances)
            if any(map(self._is_disordered, connection.execute(statement, {"its_type": name}))):
                return True
        return False

    def _is_disordered(self, row: Any) -> bool:
        is_elsewhere = row.task_key is not None and row.shard != shard_of_key(row.task_key, self._outbox.shard_count)
        return bool(is_elsewhere or row.is_early)

    def _put_lane_right(self, done: LaneDone, name: str, epochs: Mapping[int, int]) -> None:
        (shard,) = epochs
        values = {"its_type": name, "its_shard": shard, "limit": _MOST_ROWS}
        behind: Any = None
        last: Any = None

        def work(connection: Connection, *, of_free: bool = False) -> LaneDone:
            nonlocal last
            hold_writers(connection, self._outbox.shards)
            place = {} if behind is None else {"at_time": behind.order_time, "at_id": behind.id}
            statement = stray_queries.of_lane(self._tasks, behind=behind is not None)
            rows = connection.execute(statement, {**values, **place}).all()
            last = rows[-1] if len(rows) == _MOST_ROWS else None
            return self._put(connection, list(filter(self._is_disordered, rows)), epochs, of_free=of_free)

        while True:
            done.add(self._writes.run(work))
            if last is None:
                return
            behind = last

    def _put(
        self, connection: Connection, rows: Sequence[Any], epochs: Mapping[int, int], *, of_free: bool
    ) -> LaneDone:
        leaves = False
        if of_free:
            found = sort_out(connection, self._tasks, [row.raw_id for row in rows], Status.PENDING)
            rows, leaves = [row for row in rows if row.raw_id in found.free], bool(found.locked)
        if not rows:
            return LaneDone(leaves=leaves)
        put_into_shards(connection, self._outbox, rows, self._outbox.shard_count)
        if untimely := [row.raw_id for row in rows if row.is_untimely]:
            connection.execute(stray_queries.put_back_in_order(self._tasks), {"ids": untimely})
        self._writes.require(connection, epochs)
        return LaneDone(len(rows), 0, leaves)

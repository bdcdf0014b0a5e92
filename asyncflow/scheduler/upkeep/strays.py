"""Strays: rows that stand aside, and keys that are parked, though nobody is to come for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from asyncflow.events import RowsPutBack, RowsPutInOrder
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.table.row_locks import hold_writers, sort_out
from asyncflow.scheduler.upkeep import stray_queries
from asyncflow.scheduler.upkeep.disordered import Disordered
from asyncflow.scheduler.upkeep.fenced_writes import FencedWrites, LaneDone

_INTERVAL_SECONDS = 600.0  # between two looks at shards that were looked at since they are owned
_MOST_ROWS = 5000  # in a transaction
_MOST_KEYS = 100  # in a step, each in a transaction


class _Search(NamedTuple):
    """Hold the statement that finds rows, its values, and the one that puts those rows back."""

    find: Any
    values: Mapping[str, Any]
    put_back: Any


class Strays:
    """Put back what has no reason to wait; used by the cleaner's thread.

    A type that was declared ordered, and is no more, leaves parked keys that no relay reads, and rows of theirs that
    stand aside for a day. Of a type that is ordered, rows stand aside for a key that is parked, or for nothing; some
    were written while it was not. What a process does not declare it leaves alone.
    """

    def __init__(
        self, instance: Instance, database: Database, ownership: Ownership, on_put_back: Callable[[], None]
    ) -> None:
        self._on_put_back = on_put_back
        self._outbox = instance.outbox
        self._database = database
        self._ownership = ownership
        self._writes = FencedWrites(instance.outbox, database, ownership.job)
        self._disordered = Disordered(instance.outbox, database, self._writes)
        self._hooks = instance.hooks
        self._seen: tuple[Mapping[int, int], frozenset[str]] = ({}, frozenset())
        self._look_at = 0.0

    def put_back(self) -> bool:
        """Put back a batch, if it is time to look; return whether there may be more at once."""
        epochs, ordered = dict(self._ownership.epochs()), frozenset(self._ordered())
        if not epochs or (self._seen == (epochs, ordered) and time.monotonic() < self._look_at):
            return False
        disordered = {*self._outbox.task_types, *self._outbox.handler_types} - ordered
        done = [self._release_keys(sorted(disordered), epochs)] if disordered else []
        done += [self._return_rows(name, epochs) for name in sorted(ordered)]
        done += [self._put_in_order(name, epochs) for name in sorted(ordered)]
        if any(one.rows or one.keys for one in done):
            self._on_put_back()
            return True
        if not any(one.leaves for one in done):
            self._seen, self._look_at = (epochs, ordered), time.monotonic() + _INTERVAL_SECONDS
        return False

    def put_in_order(self) -> None:
        """Give what was written before its type was ordered its place: before anything of the type is sent."""
        epochs = dict(self._ownership.epochs())
        for name in sorted(self._ordered()):
            self._put_in_order(name, epochs)

    def _put_in_order(self, name: str, epochs: Mapping[int, int]) -> LaneDone:
        done = self._disordered.put_right(name, epochs)
        if done.rows:
            self._hooks.emit(RowsPutInOrder(name, done.rows))
        return done

    def _ordered(self) -> list[str]:
        return [name for name, kind in self._outbox.task_types.items() if kind.ordered]

    def _release_keys(self, types: list[str], epochs: Mapping[int, int]) -> LaneDone:
        """Release parked keys of types that are to have none."""
        statement = stray_queries.parked_of_types(self._outbox.parked_keys)
        values = {"types": types, "shards": sorted(epochs), "limit": _MOST_KEYS}
        keys = self._database.run(lambda connection: connection.execute(statement, values).all())
        of_types: dict[str, LaneDone] = {}
        for name, key, shard in keys:
            done, its = of_types.setdefault(name, LaneDone()), {"its_type": name, "its_key": key}
            done.add(self._writes.run(partial(self._release, its=its, epochs={shard: epochs[shard]})))
        return self._tell(of_types)

    def _release(
        self, connection: Connection, its: Mapping[str, Any], epochs: Mapping[int, int], *, of_free: bool = False
    ) -> LaneDone:
        parked = self._outbox.parked_keys
        tasks = self._outbox.tasks
        search = _Search(stray_queries.aside_of_key(parked, tasks), its, stray_queries.put_back(tasks))
        done = self._return(connection, search, of_free=of_free)
        if not done.leaves:
            done.keys = connection.execute(stray_queries.release(parked), its).rowcount
        self._writes.require(connection, epochs)
        return done

    def _return_rows(self, name: str, epochs: Mapping[int, int]) -> LaneDone:
        """Put back rows of an ordered type whose key is not parked."""
        tasks, values = self._outbox.tasks, {"types": [name], "shards": sorted(epochs)}
        found = stray_queries.aside_of_nobody(self._outbox.parked_keys, tasks)
        search = _Search(found, values, stray_queries.put_back_in_order(tasks))

        def work(connection: Connection, *, of_free: bool = False) -> LaneDone:
            done = self._return(connection, search, of_free=of_free)
            if done.rows:
                self._writes.require(connection, epochs)
            return done

        return self._tell({name: self._writes.run(work)})

    def _return(self, connection: Connection, search: _Search, *, of_free: bool) -> LaneDone:
        """Put back one page."""
        hold_writers(connection, self._outbox.shards)
        ids = list(connection.execute(search.find, {**search.values, "limit": _MOST_ROWS}).scalars())
        leaves = len(ids) == _MOST_ROWS
        if of_free:
            rows = sort_out(connection, self._outbox.tasks, ids, Status.PENDING)
            ids, leaves = sorted(rows.free), leaves or bool(rows.locked)
        if not ids:
            return LaneDone(leaves=leaves)
        return LaneDone(connection.execute(search.put_back, {"ids": ids}).rowcount, 0, leaves)

    def _tell(self, of_types: Mapping[str, LaneDone]) -> LaneDone:
        whole = LaneDone()
        for name, done in of_types.items():
            if done.rows or done.keys:
                self._hooks.emit(RowsPutBack(name, done.rows, done.keys))
            whole.add(done)
        return whole

"""Rows that are locked: by somebody else, found without waiting, or by us, where there are no locks on rows."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.connections.stepping_over import lock_those_free
from asyncflow.scheduler.table import queries

_A_WHILE_SECONDS = 0.2  # that a lock nobody holds does not take


class Sorted(NamedTuple):
    """Hold the raw ids of rows that are locked by us now, and of those that others have locked.

    ``waited_for`` are those of the free ones whose lock took a while to get, on a server that cannot step over rows.
    """

    free: set[Any]
    locked: set[Any]
    waited_for: set[Any]


def hold_writers(connection: Connection, shards: Table) -> None:
    """Keep other writers out until the transaction ends, where the database locks no rows."""
    if not dialect_of(connection.dialect.name).locks_rows:
        connection.execute(queries.exclude_writers(shards))


def sort_out(connection: Connection, tasks: Table, raw_ids: Collection[Any], status: int) -> Sorted:
    """Lock those rows in ``status`` that can be locked at once; rows in another status are in neither set."""
    if not raw_ids:
        return Sorted(set(), set(), set())
    values = {"ids": sorted(raw_ids), "its_status": int(status)}
    waited_for: set[Any] = set()

    def lock(connection: Connection, ids: Collection[Any], skip_locked: bool) -> Sequence[Any]:
        began, statement = time.monotonic(), queries.lock_free(tasks, skip_locked=skip_locked)
        locked = connection.execute(statement, {**values, "ids": sorted(ids)}).scalars().all()
        if not skip_locked and time.monotonic() - began > _A_WHILE_SECONDS:
            waited_for.update(locked)
        return locked

    free = set(lock_those_free(connection, tasks.fullname, raw_ids, lock))
    rest = sorted(set(raw_ids) - free)
    if not rest:
        return Sorted(free, set(), waited_for)
    locked = set(connection.execute(queries.in_status(tasks), {**values, "ids": rest}).scalars())
    return Sorted(free, locked, waited_for)

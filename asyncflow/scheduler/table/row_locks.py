"""Rows that are locked: by somebody else, found without waiting, or by us, where there are no locks on rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.connections.stepping_over import lock_those_free
from asyncflow.scheduler.table import queries


class Sorted(NamedTuple):
    """Hold the raw ids of rows that are locked by us now, and of those that others have locked.

    ``waited_for`` are those of the free ones that may have been waited for: all, where the server steps over none.
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

    def lock(connection: Connection, ids: Collection[Any], skip_locked: bool) -> Sequence[Any]:
        statement = queries.lock_free(tasks, skip_locked=skip_locked)
        return connection.execute(statement, {**values, "ids": sorted(ids)}).scalars().all()

    free = set(lock_those_free(connection, tasks.fullname, raw_ids, lock))
    waited_for = set() if dialect_of(connection.dialect.name).skips_locked(connection.dialect) else free
    rest = sorted(set(raw_ids) - free)
    if not rest:
        return Sorted(free, set(), waited_for)
    locked = set(connection.execute(queries.in_status(tasks), {**values, "ids": rest}).scalars())
    return Sorted(free, locked, waited_for)

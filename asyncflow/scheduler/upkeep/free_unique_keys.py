"""Entries of unique keys that nobody holds, and their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import UNSETTLED
from asyncflow.outbox.unique.queries import held
from asyncflow.scheduler.connections.stepping_over import lock_those_free
from asyncflow.scheduler.table.row_locks import hold_writers
from asyncflow.scheduler.upkeep import unique_queries as queries

_PAUSE_SECONDS = 600.0  # between two walks: an entry that is left costs its room alone


class FreeUniqueKeys:
    """Walk over the entries, a page a call, and delete those whose task has ended; used by the cleaner's thread."""

    def __init__(self, outbox: Outbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries = outbox.unique_entries
        self._tasks = outbox.tasks
        self._shards = outbox.shards
        self._clock = clock
        self._after = ("", "")
        self._rests_until = float("-inf")

    @property
    def are_due(self) -> bool:
        """Tell whether it is time to look at a page; in the midst of a walk, it is."""
        return self._clock() >= self._rests_until

    def delete(self, connection: Connection, limit: int) -> int:
        """Look at up to ``limit`` entries, and delete those that are free; return how many were looked at.

        They are found by an unlocked read, and judged again when they are held: no replay takes its key meanwhile.
        """
        hold_writers(connection, self._shards)
        values = {"after_type": self._after[0], "after_key": self._after[1], "limit": limit}
        page = connection.execute(queries.page(self._entries, self._tasks), values).all()
        free = [(row.task_type, row.unique_key) for row in page if row.status not in UNSETTLED]
        for name, keys in groupby(free, key=lambda key: key[0]):
            self._delete(connection, name, [key for _, key in keys])
        self._go_on([(row.task_type, row.unique_key) for row in page], limit)
        return len(page)

    def _go_on(self, page: Sequence[tuple[str, str]], limit: int) -> None:
        if len(page) == limit:
            self._after = page[-1]
        else:
            self._after, self._rests_until = ("", ""), self._clock() + _PAUSE_SECONDS

    def _delete(self, connection: Connection, name: str, keys: list[str]) -> None:
        """Delete keys of a type that nobody has locked, and nobody holds."""

        def lock(connection: Connection, keys: Collection[Any], skip_locked: bool) -> Sequence[Any]:
            statement = held(self._entries, skip_locked=skip_locked)
            return connection.execute(statement, {"its_type": name, "its_keys": sorted(keys)}).all()

        rows = lock_those_free(connection, f"{self._entries.fullname} {name}", keys, lock)
        ids = [row.task_id for row in rows]
        found = connection.execute(queries.statuses(self._tasks), {"its_ids": ids}) if ids else ()
        living = {row.id for row in found if row.status in UNSETTLED}
        free = {row.unique_key: row.task_id for row in rows if row.task_id not in living}
        if free:
            values = {"its_type": name, "its_keys": list(free), "its_ids": list(free.values())}
            connection.execute(queries.delete_keys(self._entries), values)

"""Who holds a unique key: the task that its entry names, for as long as that task waits or is at work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Table

from asyncflow.errors import InvalidKeyError
from asyncflow.outbox.dedupe import Enqueued, pages_of, sifted
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.status import UNSETTLED, Status
from asyncflow.outbox.tables import KEY_LENGTH
from asyncflow.outbox.task import UNIQUE_KEY
from asyncflow.outbox.unique import queries
from asyncflow.text import require_text

_ENDED = (None, Status.SUCCESS, Status.CANCELLED)  # for good: a FAILED one may be replayed


def unique_key_of(key: Any) -> str | None:
    """Return the key if there is one; raises InvalidKeyError."""
    return None if key is None else require_text("unique_key", key, KEY_LENGTH, InvalidKeyError)


def with_unique_key(headers: str | None, key: str) -> str:
    """Return headers that carry a task's unique key, by which a replay knows it."""
    own = {} if headers is None else orjson.loads(headers)
    return orjson.dumps({**own, UNIQUE_KEY: key}).decode()


def unique_key_in(headers: str | None) -> str | None:
    """Return the unique key that a task's headers carry; None if it has none."""
    if headers is None or UNIQUE_KEY not in headers:
        return None
    key: str | None = orjson.loads(headers).get(UNIQUE_KEY)
    return key


class UniqueKeys:
    """Know which task holds each unique key of each task type; has no state but the table.

    An entry names the task that took its key last, and that task's status tells whether it still holds it: so nothing
    has to be written when a task ends, however it does. Its statements run at once on the caller's connection, and
    share the fate of the caller's transaction.
    """

    def __init__(self, entries: Table, tasks: Table) -> None:
        self._entries = entries
        self._tasks = tasks

    def sift(
        self, connection: Connection, task_type: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str | None]
    ) -> list[Enqueued]:
        """Return for each row, in order, the task that holds its key from now on; a row without a key is new.

        A task that is found waiting stays so until the transaction ends; at READ COMMITTED, one that is found at work
        may end before. While another open transaction takes one of the keys, this waits for its end.
        """
        return sifted(rows, keys, partial(self.hold, connection, task_type))

    def hold(self, connection: Connection, task_type: str, wanted: Mapping[str, UUID]) -> dict[str, UUID]:
        """Return the task that holds each key: one that waits or is at work, or the wanted one, from now on."""
        holders: dict[str, UUID] = {}
        for keys in pages_of(wanted):
            holders |= self._hold(connection, task_type, {key: wanted[key] for key in keys})
        return holders

    def _hold(self, connection: Connection, task_type: str, wanted: dict[str, UUID]) -> dict[str, UUID]:
        seen = self._seen(connection, task_type, wanted)
        waiting = {task_id for task_id, status in seen.values() if status == Status.PENDING}
        at_work = {task_id for task_id, status in seen.values() if status == Status.PROCESSING}
        if at_work and connection.get_isolation_level() != "READ COMMITTED":
            # An old view may show at work what has long been done, and then work would be lost.
            waiting, at_work = waiting | at_work, set()
        # One at work is not locked: its handler may have what the caller will wait for, and could not commit.
        living = at_work | self._living(connection, waiting)
        ended = {task_id for task_id, status in seen.values() if status in _ENDED}
        # A task that lives holds its key: its entry, which many may want to read, needs no lock.
        holders = {key: task_id for key, (task_id, _) in seen.items() if task_id in living}
        # Anew for what the cleaner deleted between two statements.
        while rest := {key: wanted[key] for key in wanted if key not in holders}:
            holders |= self._take(connection, task_type, rest, ended)
        return holders

    def _seen(
        self, connection: Connection, task_type: str, keys: Collection[str]
    ) -> dict[str, tuple[UUID, int | None]]:
        """Return tasks and statuses as the transaction sees them; nothing where a reader would come to write late."""
        if not dialect_of(connection.dialect.name).locks_rows:
            return {}
        statement = queries.seen(self._entries, self._tasks)
        rows = connection.execute(statement, {"its_type": task_type, "its_keys": list(keys)})
        return {row.unique_key: (row.task_id, row.status) for row in rows}

    def _take(
        self, connection: Connection, task_type: str, wanted: Mapping[str, UUID], ended: Collection[UUID]
    ) -> dict[str, UUID]:
        """Take keys, or find those that hold them; ``ended`` tasks do not."""
        entries = [{"task_type": task_type, "unique_key": key, "task_id": one} for key, one in wanted.items()]
        dialect_of(connection.dialect.name).insert_and_hold(connection, self._entries, entries)
        rows = connection.execute(queries.held(self._entries), {"its_type": task_type, "its_keys": list(wanted)})
        held = {row.unique_key: row.task_id for row in rows}
        others = {key: task_id for key, task_id in held.items() if task_id != wanted[key]}
        # Ended ones are not locked: under REPEATABLE READ, InnoDB would lock the gap in which one is missing.
        living = self._living(connection, {*others.values()}.difference(ended))
        for key in [key for key, task_id in others.items() if task_id not in living]:
            values = {"its_type": task_type, "its_key": key, "its_id": wanted[key]}
            connection.execute(queries.take_over(self._entries), values)
            held[key] = wanted[key]
        return held

    def _living(self, connection: Connection, ids: Collection[UUID]) -> set[UUID]:
        """Return those of the tasks that wait or are at work, and keep them so until the transaction ends."""
        if not ids:
            return set()
        rows = connection.execute(queries.standing(self._tasks), {"its_ids": sorted(ids)})
        return {row.id for row in rows if row.status in UNSETTLED}

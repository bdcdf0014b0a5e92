"""The unique keys of dead letters that are replayed: taken again, unless another task has them by now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.unique.unique_keys import UniqueKeys, unique_key_in
from asyncflow.scheduler.operator import queries


class Asked(NamedTuple):
    """Hold the tasks whose keys were asked for, and of those that cannot have theirs the tasks that have these."""

    ids: frozenset[UUID]
    taken: dict[UUID, UUID]

    def is_free(self, row: Any) -> bool:
        """Tell whether a row, as it is locked now, may wait again; not one that failed after keys were asked for."""
        return row.id in self.ids or unique_key_in(row.headers) is None


class RevivedKeys:
    """Take keys for tasks that are to be PENDING again, in the transaction of the connection given; has no state.

    Keys before rows, as whoever enqueues takes them: so neither waits for what the other holds.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._tasks = outbox.tasks
        self._unique = UniqueKeys(outbox.unique_entries, outbox.tasks)

    def ask(self, connection: Connection, raw_ids: Sequence[Any]) -> Asked:
        """Take the keys of those that are dead letters now, as far as no other task has them.

        Of several with one key the first has it.
        """
        wanted: defaultdict[str, dict[str, UUID]] = defaultdict(dict)
        others: list[tuple[UUID, str, str]] = []
        for task_id, task_type, headers in connection.execute(queries.with_unique_keys(self._tasks), {"ids": raw_ids}):
            if (key := unique_key_in(headers)) is not None:
                wanted[task_type].setdefault(key, task_id)
                others.append((task_id, task_type, key))
        holders = {name: self._unique.hold(connection, name, wanted[name]) for name in sorted(wanted)}
        taken = {one: holders[name][key] for one, name, key in others if holders[name][key] != one}
        return Asked(frozenset(one for one, _, _ in others), taken)

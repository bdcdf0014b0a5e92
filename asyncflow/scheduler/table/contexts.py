"""The contexts of checkpoints: in the task's row, or in a table of their own where they are too large for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Update

from asyncflow.outbox import Outbox
from asyncflow.outbox.tables import OVERFLOWN
from asyncflow.scheduler.connections.stepping_over import lock_those_free
from asyncflow.scheduler.table import queries


class Contexts:
    """Write and forget contexts in the transaction of the connection given; has no state, any thread uses it.

    They are read with their rows: see ``outbox.queries.context_of``.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._tasks = outbox.tasks
        self._contexts = outbox.contexts
        self._row_bytes = outbox.context_row_bytes

    def save(
        self, connection: Connection, checkpoint: Update, values: Mapping[str, Any], task_id: UUID, context: str | None
    ) -> bool:
        """Run a guarded checkpoint statement and write its context where it fits; return whether it changed the row.

        The row, locked by the checkpoint, guards the other table as well. A context there that is out of date stays
        until the task is deleted: the row does not speak of it.
        """
        is_large = context is not None and len(context.encode()) > self._row_bytes
        in_row = OVERFLOWN if is_large else context
        if connection.execute(checkpoint, {**values, "its_context": in_row}).rowcount != 1:
            return False
        if is_large:
            self._write(connection, {"its_id": task_id, "its_text": context})
        return True

    def forget(self, connection: Connection, raw_ids: Sequence[Any]) -> None:
        """Delete the contexts of those of the tasks that were deleted."""
        if raw_ids:
            connection.execute(queries.forget(self._contexts, self._tasks), {"ids": list(raw_ids)})

    def locked(self, connection: Connection, raw_ids: Sequence[Any]) -> set[Any]:
        """Return those of the tasks whose contexts somebody else has locked; lock the others."""
        if not raw_ids:
            return set()

        def lock(connection: Connection, ids: Collection[Any], skip_locked: bool) -> Sequence[Any]:
            statement = queries.lock_contexts(self._contexts, skip_locked=skip_locked)
            return connection.execute(statement, {"ids": sorted(ids)}).scalars().all()

        there = set(connection.execute(queries.with_contexts(self._contexts), {"ids": sorted(raw_ids)}).scalars())
        return there.difference(lock_those_free(connection, self._contexts.fullname, there, lock))

    def _write(self, connection: Connection, values: Mapping[str, Any]) -> None:
        if not connection.execute(queries.replace(self._contexts), values).rowcount:
            connection.execute(queries.add(self._contexts), values)

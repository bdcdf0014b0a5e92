"""Claims whose rows are free, told from those whose rows somebody else has locked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Connection, Table

from asyncflow.forks import leave_at_fork
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.caution import SharedCaution
from asyncflow.scheduler.table.row_locks import sort_out
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim


class FreeClaims:
    """Look for locks where a row was locked a moment ago, for any thread; a forked child remembers none.

    ``on_locked`` is told how many rows, when the first is met.
    """

    def __init__(self, tasks: Table, on_locked: Callable[[int], None]) -> None:
        self._tasks = tasks
        self._on_locked = on_locked
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin anew in a forked child."""
        self.caution = SharedCaution(self._on_locked)

    def are_wanted(self, *, of_free: bool) -> bool:
        """Tell whether to step over locked rows; ``of_free``: for one was met just now."""
        if of_free:
            self.caution.note(1)
        return of_free or self.caution.is_on

    def sorted_out(
        self, connection: Connection, held: Collection[HeldClaim], *, of_free: bool, looks: bool = False
    ) -> tuple[Sequence[HeldClaim], Sequence[HeldClaim]]:
        """Return those that can be written, and those whose rows are locked; all are the former if nobody looks."""
        if not (self.are_wanted(of_free=of_free) or looks):
            return list(held), []
        ids = {one: raw_form(one.id, connection.dialect.name) for one in held}
        locked = sort_out(connection, self._tasks, list(ids.values()), Status.PROCESSING).locked
        self.caution.meet(locked)
        return [one for one in held if ids[one] not in locked], [one for one in held if ids[one] in locked]

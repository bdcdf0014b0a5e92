"""What the database's planner believes about the task table, looked after while a backlog streams."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection, Table

from asyncflow.outbox.dialects import dialect_of

MANY_ROWS = 200  # fewer are not worth a look
_SECONDS_BETWEEN_LOOKS = 10.0


class PlannerStatistics:
    """See that the planner knows of a backlog that has just been read from; any thread may call.

    One for all connections of a process: who looked a moment ago has looked for the others, too. Without a lock: of two
    that look at once both do, and nothing is lost.

    PostgreSQL plans by what the last vacuum or analysis counted. One that met an almost empty table, a moment before
    a backlog was committed, makes it prefer any index to the right one: seconds for a statement, until autovacuum
    comes by again.
    """

    def __init__(self, tasks: Table, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tasks
        self._clock = clock
        self._next_look_at = float("-inf")

    def after_reading(self, connection: Connection, rows: int) -> None:
        """Let the planner count anew, in this transaction, if it believes that there are fewer rows than these."""
        if rows < MANY_ROWS or self._clock() < self._next_look_at:
            return
        self._next_look_at = self._clock() + _SECONDS_BETWEEN_LOOKS
        dialect_of(connection.dialect.name).correct_statistics(connection, self._tasks, rows)

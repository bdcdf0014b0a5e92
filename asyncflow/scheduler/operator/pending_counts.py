"""How many tasks of each type wait."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox, Status
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.type_counts import count_types


def count_pending(engine: Engine, outbox: Outbox) -> dict[str, int]:
    """Return the numbers of PENDING tasks by task type, none for a type without; none beyond 10,000.

    Of very many types even fewer are counted: see ``count_types``.
    """
    return run_briefly(engine, lambda connection: _read(connection, outbox))


def _read(connection: Connection, outbox: Outbox) -> dict[str, int]:
    counts = count_types(connection, outbox.tasks, (Status.PENDING,)).counts
    return {name: count for (_, name), count in sorted(counts.items()) if count}  # 0: done since it was found

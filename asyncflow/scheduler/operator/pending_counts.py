"""How many tasks of each type wait."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox, Status
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads.queries import read_heads
from asyncflow.scheduler.operator import queries

_MOST = 10_000  # of a type: beyond that nobody counts


def count_pending(engine: Engine, outbox: Outbox) -> dict[str, int]:
    """Return the numbers of PENDING tasks by task type, none for a type without; none beyond 10,000."""
    database = Database(engine)
    try:
        return database.run(lambda connection: _read(connection, outbox))
    finally:
        database.close()


def _read(connection: Connection, outbox: Outbox) -> dict[str, int]:
    heads = read_heads(connection, outbox.tasks, Status.PENDING)
    count = queries.count_up_to(outbox.tasks, most=_MOST)
    pending = {"its_status": int(Status.PENDING)}
    return {
        name: connection.execute(count, {**pending, "its_type": name}).scalar_one()
        for name in sorted({head.task_type for head in heads})
    }

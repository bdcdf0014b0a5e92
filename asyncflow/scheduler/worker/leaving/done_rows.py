"""The end of rows that were handled and leave nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table

from asyncflow.scheduler.worker.claiming import queries


def end_handled(connection: Connection, tasks: Table, token: UUID, raw_ids: Collection[Any], *, deletes: bool) -> int:
    """Mark SUCCESS, or delete, what the token holds of the rows; return how many.

    What has a unique key is not deleted: who takes the key next reads the row of the task that had it, and under
    REPEATABLE READ a read of one that is missing would lock the place where new rows go.
    """
    held = {"ids": list(raw_ids), "token": token}
    if not deletes:
        return connection.execute(queries.succeed(tasks), held).rowcount
    ended = connection.execute(queries.delete_succeeded(tasks), held).rowcount
    if ended < len(raw_ids):
        ended += connection.execute(queries.succeed(tasks), held).rowcount
    return ended

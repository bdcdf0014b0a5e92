"""The shard in which a task's row belongs, and rows that are put there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.ids import shard_of, shard_of_key
from asyncflow.scheduler.table.queries import move


def put_into_shards(connection: Connection, outbox: Outbox, rows: Iterable[Any], shard_count: int) -> int:
    """Put rows where they belong; return how many were elsewhere.

    Of each are read: id, raw_id, task_type, task_key and shard.
    """
    of_shards: dict[int, list[Any]] = {}
    for row in rows:
        shard = _shard_of(outbox, row, shard_count)
        if shard != row.shard:
            of_shards.setdefault(shard, []).append(row.raw_id)
    for shard, ids in sorted(of_shards.items()):
        connection.execute(move(outbox.tasks), {"ids": ids, "its_shard": shard})
    return sum(map(len, of_shards.values()))


def _shard_of(outbox: Outbox, row: Any, shard_count: int) -> int:
    """Return the shard of the key, if it may be one of an ordered type; for any other row each shard would do."""
    kind = outbox.task_types.get(row.task_type)
    is_ordered = row.task_type not in outbox.handler_types if kind is None else kind.ordered
    if is_ordered and row.task_key is not None:
        return shard_of_key(row.task_key, shard_count)
    return shard_of(row.id, shard_count)

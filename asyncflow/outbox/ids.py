"""Task ids: made by the client, ordered by time, spread evenly over the shards."""

from __future__ import annotations

import uuid
import zlib

import uuid_utils

SHARD_COUNT = 64


def new_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits."""
    return uuid.UUID(bytes=uuid_utils.uuid7().bytes)


def shard_of(task_id: uuid.UUID, shard_count: int) -> int:
    """Return ``id modulo shard_count``; the low 62 bits of the id are random, so shards fill evenly."""
    return task_id.int % shard_count


def shard_of_key(key: str, shard_count: int) -> int:
    """Return ``hash(key) modulo shard_count``, the same in every process: all tasks of a key are in one shard."""
    return zlib.crc32(key.encode()) % shard_count


def new_place(shard_count: int, key: str | None) -> tuple[uuid.UUID, int]:
    """Return a new task's id and its shard, which the key decides where there is one."""
    task_id = new_id()
    return task_id, shard_of_key(key, shard_count) if key else shard_of(task_id, shard_count)

"""Which shards this instance may read: the seam behind which membership can be fixed or dynamic."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from asyncflow.errors import ShardCountMismatchError
from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.events import Hooks, OwnershipChanged
from asyncflow.outbox.tables import OWNER_LENGTH
from asyncflow.scheduler import queries
from asyncflow.scheduler.database import Database

T = TypeVar("T")


class Ownership(Protocol):
    """Tell the shards that this instance owns; any thread may ask."""

    owner: str

    def acquire(self) -> None:
        """Become the owner of this instance's shards; raises ShardCountMismatchError."""
        ...

    def epochs(self) -> Mapping[int, int]:
        """Return the owned shards with the epoch of each, as last known."""
        ...

    def refresh(self) -> None:
        """Learn from the database which shards are still owned."""
        ...

    def release(self) -> None:
        """Give all shards back."""
        ...


class StaticOwnership:
    """Own the shards with ``shard % instance_count == instance_index``, from start to stop.

    A process that starts with an index takes its shards, and raises their epochs, whoever held them: one that
    was paused or cut off and comes back finds its settles fenced.
    """

    def __init__(self, engine: Engine, outbox: Outbox, index: int, count: int, hooks: Hooks) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"[-OWNER_LENGTH:]
        self._engine = engine
        self._outbox = outbox
        self._mine = [shard for shard in range(outbox.shard_count) if shard % count == index]
        self._hooks = hooks
        self._epochs: dict[int, int] = {}

    def acquire(self) -> None:
        """Take the shards in one transaction."""
        self._adopt(self._run(self._take))

    def epochs(self) -> Mapping[int, int]:
        """Return the owned shards with their epochs."""
        return self._epochs

    def refresh(self) -> None:
        """Drop the shards that another process has taken since."""
        self._adopt(self._run(self._read_mine))

    def release(self) -> None:
        """Leave the shards without an owner; their epochs stay."""
        statement = queries.release_shards(self._outbox.shards)
        self._run(lambda connection: connection.execute(statement, {"its_owner": self.owner}))
        self._epochs = {}
        self._hooks.emit(OwnershipChanged(self.owner, (), ()))

    def _run(self, work: Callable[[Connection], T]) -> T:
        # A connection for each call: several relays may be fenced at once.
        database = Database(self._engine)
        try:
            return database.run(work)
        finally:
            database.close()

    def _take(self, connection: Connection) -> dict[int, int]:
        self._require_shard_count(connection)
        if self._mine:
            statement = queries.take_shards(self._outbox.shards)
            connection.execute(statement, {"shards": self._mine, "its_owner": self.owner})
        return self._read_mine(connection)

    def _require_shard_count(self, connection: Connection) -> None:
        shards, expected = self._outbox.shards, self._outbox.shard_count
        recorded = len(connection.execute(queries.read_epochs(shards)).all())
        if recorded == 0:
            queries.insert_shards(connection, dialect_of(connection.dialect.name), shards, expected)
        elif recorded != expected:
            raise ShardCountMismatchError(
                f"shard_count is {expected}, but {shards.fullname} records {recorded}; "
                f"use Outbox(..., shard_count={recorded}) in every process"
            )

    def _read_mine(self, connection: Connection) -> dict[int, int]:
        rows = connection.execute(queries.read_epochs(self._outbox.shards)).all()
        return {row.shard: row.epoch for row in rows if row.owner == self.owner}

    def _adopt(self, epochs: dict[int, int]) -> None:
        lost = tuple(sorted(self._epochs.keys() - epochs.keys()))
        if epochs != self._epochs:
            self._epochs = epochs
            self._hooks.emit(OwnershipChanged(self.owner, tuple(sorted(epochs)), lost))

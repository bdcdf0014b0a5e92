"""Writes to rows of shards that are owned: undone if they are owned no more, left where somebody holds a lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox import Outbox
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.connections.database import Database


@dataclass
class LaneDone:
    """Tell what a transaction put back, and whether it left anything for a lock, its limit or another owner."""

    rows: int = 0
    keys: int = 0
    leaves: bool = False

    def add(self, part: LaneDone) -> None:
        """Count in what another one did."""
        self.rows, self.keys, self.leaves = self.rows + part.rows, self.keys + part.keys, self.leaves or part.leaves


class _Fenced(Exception):  # noqa: N818 - no error: ``run`` catches it
    """A shard is not owned any more; what was written is to be rolled back."""


class FencedWrites:
    """Run the transactions of one thread that change rows under its shards' epochs."""

    def __init__(self, outbox: Outbox, database: Database, job: str) -> None:
        self._outbox = outbox
        self._database = database
        self._job = job

    def run(self, work: Callable[..., LaneDone]) -> LaneDone:
        """Run ``work``; with ``of_free=True``, for which it is to wait for nobody, after it has waited for a lock."""
        try:
            return self._database.run(work, partial(work, of_free=True) if self._database.skips_locked else None)
        except _Fenced:
            return LaneDone(leaves=True)
        except DBAPIError as error:
            if not self._database.dialect.is_lock_wait(error):
                raise
            return LaneDone(leaves=True)  # somebody has locked a parked key; nothing else waits for that

    def require(self, connection: Connection, epochs: Mapping[int, int]) -> None:
        """Look last whether the shards are owned still: their new owner may go by what is there."""
        wanted = {"its_job": self._job, "shards": sorted(epochs)}
        rows = connection.execute(cluster_queries.hold_epochs(self._outbox.shards), wanted)
        if {row.shard: row.epoch for row in rows} != dict(epochs):
            raise _Fenced

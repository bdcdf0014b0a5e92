"""The database that is served: whether it has what a service needs, and whether it answers."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.to_thread import run_sync
from sqlalchemy import Connection, Engine

from asyncflow.errors import ServiceBusyError
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import LIMITS
from asyncflow.scheduler.cluster.shard_count import record_shard_count, require_shard_count
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.table.table_check import require_tables

_READY_SECONDS = 2.0


class ServedDatabase:
    """Check one database; lives as long as its service, and any thread may ask: what was found once stays true.

    ``look`` is what a request would ask of it first.
    """

    def __init__(self, engine: Engine, outbox: Outbox, look: Callable[[Connection], object]) -> None:
        self._engine = engine
        self._outbox = outbox
        self._look = look
        self._has_tables = False
        self.is_recorded = False  # how many shards the tasks have that are written here

    async def is_ready(self) -> None:
        """Raise what keeps it from being served, such as TablesMissingError or what the database raises."""
        try:
            with anyio.fail_after(_READY_SECONDS):
                await run_sync(self.require, abandon_on_cancel=True)
        except TimeoutError:
            raise ServiceBusyError(f"the database did not answer within {_READY_SECONDS:g} seconds") from None

    def require(self) -> None:
        """Raise what keeps it from being served; waits as long as a connection may."""
        if not self._has_tables:
            self._require_tables()
        with connected(self._engine, LIMITS) as connection:
            self._look(connection)

    def record(self) -> None:
        """Record the number of shards, or raise ShardCountMismatchError: no scheduler would find what is written."""
        self._require_tables()
        record_shard_count(self._engine, self._outbox)  # of a scheduler that comes later, and would read others
        self.is_recorded = True

    def _require_tables(self) -> None:
        require_engine(self._engine, self._outbox)
        require_tables(self._engine, self._outbox)
        require_shard_count(self._engine, self._outbox)
        self._has_tables = True

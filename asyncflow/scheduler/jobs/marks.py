"""What the database tells of a job's items: which run, which are owed a run, which are switched off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, Table

from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.jobs import queries
from asyncflow.scheduler.table.queries import read_clock

T = TypeVar("T")


class Marked(NamedTuple):
    """Hold the marks of one item."""

    epoch: int
    disabled: bool
    running: bool
    misfire: bool


class Marks:
    """Read and write the marks of one job's items, through one connection that its threads share.

    Every write demands this owner and the item's epoch: a late one changes nothing.
    """

    def __init__(self, engine: Engine, shards: Table, jobs: Table, job_name: str, owner: str) -> None:
        self._database = Database(engine)
        self._lock = threading.Lock()
        self._shards = shards
        self._jobs = jobs
        self._job_name = job_name
        self._owner = owner

    def read(self) -> Mapping[int, Marked]:
        """Return the marks of all items of the job."""
        rows = self._run(lambda c: c.execute(queries.read_marks(self._shards), {"its_job": self._job_name}).all())
        return {row.shard: Marked(row.epoch, bool(row.disabled), bool(row.running), bool(row.misfire)) for row in rows}

    def is_disabled(self) -> bool:
        """Tell whether the whole job is switched off."""
        values = {"its_name": self._job_name}
        return bool(self._run(lambda c: c.execute(queries.read_disabled(self._jobs), values).scalar()))

    def write(self, item: int, epoch: int, **marks: bool) -> bool:
        """Mark an item; return False, having changed nothing, if it has another owner or epoch by now."""
        values = {"its_job": self._job_name, "its_item": item, "its_owner": self._owner, "its_epoch": epoch}
        statement = queries.mark(self._shards, **marks)
        return self._run(lambda c: c.execute(statement, values).rowcount) == 1

    def seconds_off(self) -> float:
        """Return how far this process's clock is from the database's, at least: a round trip is allowed for."""

        def off(connection: Connection) -> float:
            before = datetime.now(timezone.utc)
            told: datetime = connection.execute(read_clock()).scalar_one()
            after = datetime.now(timezone.utc)
            return max(0.0, (before - told).total_seconds(), (told - after).total_seconds())

        return self._run(off)

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._database.close()

    def _run(self, work: Callable[[Connection], T]) -> T:
        with self._lock:
            return run_again(self._database, work)

"""What the database tells of a job's items: which run, which are owed a run, which are switched off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, Table

from asyncflow.errors import RowsLockedError
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.caution import Caution
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.stepping_over import lock_those_free
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
        self._caution = Caution()
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
        """Mark an item; return False, having changed nothing, if it has another owner or epoch by now.

        Raises RowsLockedError while somebody holds the lock of its row: it is waited for once, and not for each mark,
        for the other items of the job wait meanwhile.
        """
        values = {"its_job": self._job_name, "its_item": item, "its_owner": self._owner, "its_epoch": epoch}
        statement = queries.mark(self._shards, **marks)

        def work(connection: Connection) -> int:
            return connection.execute(statement, values).rowcount

        def free(connection: Connection) -> int:
            self._require_free(connection, item)
            return work(connection)

        return self._run(free if self._caution.is_on else work, free) == 1

    def _require_free(self, connection: Connection, item: int) -> None:
        def lock(connection: Connection, some: Collection[int], skip_locked: bool) -> Sequence[int]:
            statement = cluster_queries.lock_shards(self._shards, skip_locked=skip_locked)
            return connection.execute(statement, {"its_job": self._job_name, "shards": sorted(some)}).scalars().all()

        if not lock_those_free(connection, f"{self._shards.fullname} of {self._job_name}", [item], lock):
            self._caution.note(1)
            raise RowsLockedError(
                f"somebody holds the lock of item {item} of the job {self._job_name!r} in {self._shards.fullname}: it "
                f"waits for that, and no other item does; end the transaction that holds it"
            )

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

    def _run(self, work: Callable[[Connection], T], when_locked: Callable[[Connection], T] | None = None) -> T:
        with self._lock:
            return run_again(self._database, work, when_locked if self._database.skips_locked else None)

"""Outcomes written under the fence: by who still owns the shards in the epochs of the fetch."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.events import Hooks, SettleFenced, TaskFailed, TaskRetried, TasksSettled
from asyncflow.scheduler import ownership_queries
from asyncflow.scheduler.database import Database
from asyncflow.scheduler.ownership import Hold, Ownership
from asyncflow.scheduler.parking import Parking, ParkingChange
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.settlement import Settlement


@dataclass(slots=True)
class Unsettled:
    """Hold outcomes that are known and not written yet, and the shards for them."""

    settlement: Settlement
    change: ParkingChange
    hold: Hold

    def __len__(self) -> int:
        return len(self.settlement) + len(self.change)

    def shards(self) -> set[int]:
        """Return the shards whose owner alone may write this."""
        return {task.shard for task in self.settlement.tasks()} | self.change.shards()


class Settler:
    """Settle the rounds of one destination; lives as long as its relay, used by its thread alone."""

    def __init__(
        self,
        destination: str,
        outbox: Outbox,
        database: Database,
        ownership: Ownership,
        parking: Parking,
        settings: SchedulerSettings,
        hooks: Hooks,
    ) -> None:
        self._destination = destination
        self._outbox = outbox
        self._database = database
        self._ownership = ownership
        self._parking = parking
        self._deletes = settings.on_success == "delete"
        self._hooks = hooks

    def settle(self, unsettled: Unsettled) -> None:
        """Write the outcomes in one transaction, and tell; raises what the database raises, and nothing is written."""
        began = time.perf_counter()
        written, change, fenced = self._database.run(lambda connection: self._write(connection, unsettled))
        self._parking.adopt(change)
        self._tell(written, time.perf_counter() - began)
        if fenced:
            self._hooks.emit(SettleFenced(self._destination, fenced))
            self._parking.forget()
            self._ownership.refresh()

    def _write(self, connection: Connection, unsettled: Unsettled) -> tuple[Settlement, ParkingChange, int]:
        """Write the outcomes of the shards still owned in the epoch of the fetch; count the others."""
        shards = unsettled.shards()
        owned = self._still_owned(connection, shards, unsettled.hold)
        settlement, change = unsettled.settlement, unsettled.change
        if owned != shards:
            settlement, change = settlement.keeping(lambda task: task.shard in owned), change.keeping(owned)
        changed = settlement.write(connection, self._outbox.tasks, delete_succeeded=self._deletes)
        if change:
            self._parking.write(connection, change)
        return settlement, change, len(unsettled.settlement) - changed

    def _still_owned(self, connection: Connection, shards: set[int], hold: Hold) -> set[int]:
        if not self._database.dialect.locks_rows:
            connection.execute(ownership_queries.exclude_writers(self._outbox.shards))
        wanted = {"its_job": self._ownership.job, "shards": sorted(shards)}
        held = connection.execute(ownership_queries.hold_epochs(self._outbox.shards), wanted)
        return {row.shard for row in held if hold.get(row.shard) == row.epoch}

    def _tell(self, settled: Settlement, seconds: float) -> None:
        for (delay, error), tasks in settled.retried.items():
            for task in tasks:
                self._hooks.emit(TaskRetried(task.id, task.task_type, task.retry_count + 1, delay, error))
        for error, tasks in settled.failed.items():
            for task in tasks:
                self._hooks.emit(TaskFailed(task.id, task.task_type, task.retry_count, error))
        counts = len(settled.succeeded), settled.count(settled.retried), settled.count(settled.failed)
        self._hooks.emit(TasksSettled(self._destination, *counts, seconds))

"""Somebody holds the lock of one item's row for long: that item waits, and the others of its job run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from asyncflow import Scheduler, ShardingContext, SimpleJob
from asyncflow.errors import RowsLockedError
from asyncflow.events import JobFailedOver, StepFailed
from asyncflow.scheduler.jobs.marks import Marks
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.relay.test_locked_rows import locked
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
OPTIONS: dict[str, Any] = {"heartbeat_seconds": 0.5, "lease_seconds": 60.0, "tick": 0.2}


@on_servers
def test_an_item_whose_row_is_locked_holds_up_no_other_item(application: Application) -> None:
    runs: Counter[int] = Counter()

    def count(context: ShardingContext) -> None:
        runs[context.sharding_item] += 1

    shards = application.outbox.shards
    item = select(shards.c.shard).where(shards.c.job == "count", shards.c.shard == 0)
    job = SimpleJob("count", count, cron=0.2, sharding_total_count=3)
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with Scheduler(*its, jobs=[job], hooks=[application.signals], **OPTIONS):
        eventually(lambda: len(runs) == 3)
        with locked(application.engine, item):
            began = Counter(runs)
            eventually(lambda: min(runs[other] - began[other] for other in (1, 2)) >= 60, 60.0)
            assert runs[0] <= began[0] + 1  # the one that was at work
        eventually(lambda: runs[0] >= began[0] + 3)
    told = [event.error for event in application.signals.of(StepFailed)]
    assert {type(error) for error in told} == {RowsLockedError}
    assert "item 0 of the job 'count'" in str(told[0])


def test_what_an_item_is_owed_is_looked_for_again_where_that_cannot_be_read_at_once(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, read, failures = sqlite_application.outbox.shards, Marks.read, [ConnectionError("away")]
    runs: list[int] = []
    job = SimpleJob("yearly", lambda context: runs.append(context.sharding_item), cron="0 0 1 1 *", failover=True)
    first = sqlite_application.scheduler(jobs=[job])
    first.start()
    first.stop()
    with sqlite_application.engine.begin() as connection:
        # As a killed owner leaves it.
        connection.execute(shards.update().where(shards.c.job == "yearly").values(running=True))

    def away(self: Marks) -> Any:
        if failures:
            raise failures.pop()
        return read(self)

    monkeypatch.setattr(Marks, "read", away)
    with sqlite_application.scheduler(jobs=[job]):
        sqlite_application.signals.wait_for(JobFailedOver, lambda event: event.item == 0)
        eventually(lambda: runs == [0])
    assert failures == []

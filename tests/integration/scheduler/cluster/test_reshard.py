"""Another number of shards."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update

from asyncflow import Scheduler
from asyncflow.errors import SchedulersRunError, ShardCountMismatchError
from asyncflow.scheduler import Record, Retry
from asyncflow.scheduler.cluster.resharding.reshard import reshard
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.writing import publish, publish_many
from tests.support.application import Application


def sharded(engine: Engine, shard_count: int) -> Application:
    application = Application(engine, shard_count=shard_count)
    application.outbox.message("moved", ordered=True, retry_interval_seconds=0, max_retry_interval_seconds=0)
    return application


@pytest.mark.parametrize(("old", "new"), [(64, 8), (8, 64)])
def test_every_task_is_delivered_under_the_new_count_in_order(old: int, new: int, engine: Engine) -> None:
    application = sharded(engine, old)
    scheduler = application.scheduler(MemoryPublisher(lambda record: Retry("no")))
    for number in range(3):
        publish(application, number, "moved", key="A")
    scheduler.ownership.acquire()
    for _ in range(3):
        scheduler.relays[0].step()
    scheduler.stop()
    publish_many(application, 200)
    resized = sharded(engine, new)
    with pytest.raises(ShardCountMismatchError, match="asyncflow reshard"):
        resized.scheduler().start()
    assert reshard(engine, resized.outbox) > 100
    assert {row.shard for row in resized.rows()} <= set(range(new))
    assert len(resized.rows(select(resized.outbox.shards))) == new
    publisher = MemoryPublisher()
    drained = resized.scheduler(publisher)
    resized.make_due()
    drained.drain()
    drained.stop()
    assert len(publisher.records) == 203
    assert [record.value for record in publisher.records if is_moved(record)] == [b"0", b"1", b"2"]
    assert reshard(engine, resized.outbox) == 0


def test_it_is_refused_while_a_scheduler_runs(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine)
    made.append(application.scheduler())
    made[0].ownership.acquire()
    with pytest.raises(SchedulersRunError, match=f"while schedulers run: {made[0].ownership.owner}; stop them all"):
        reshard(engine, Application(engine, shard_count=8).outbox)


def test_a_lease_from_before_the_clock_was_set_back_refuses_it_for_no_longer_than_it_was_written_for(
    engine: Engine,
) -> None:
    application = Application(engine)
    application.scheduler().ownership.acquire()
    shards, an_hour = application.outbox.shards, timedelta(hours=1)
    with engine.begin() as connection:
        connection.execute(update(shards).values(acquired_at=an_hour, lease_until=an_hour + timedelta(seconds=0.5)))
    assert reshard(engine, Application(engine, shard_count=8).outbox) == 0


def is_moved(record: Record) -> bool:
    return record.topic == "moved"

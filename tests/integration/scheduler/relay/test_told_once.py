"""A settle that was written is told of once, whatever comes after it, and though its COMMIT happens late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, update

from asyncflow import Scheduler, Status
from asyncflow.events import SettleFenced, StepFailed, TasksSettled
from asyncflow.scheduler.relay.keys.parking_change import ParkingChange
from asyncflow.scheduler.relay.settlement import Settlement, Unsettled
from tests.integration.scheduler.publishers import LONG, Meanwhile
from tests.integration.scheduler.relay.test_locked_rows import read_tasks
from tests.integration.scheduler.waiters import somebody_waits
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


def told(application: Application) -> int:
    return sum(event.succeeded for event in application.signals.of(TasksSettled))


@pytest.fixture
def halves(engine: Engine) -> Application:
    """Give an application of two shards, in which 40 messages wait."""
    application = Application(engine, shard_count=2)
    publish_many(application, 40)
    return application


@pytest.fixture
def relay(halves: Application) -> Iterator[Scheduler]:
    """Give a scheduler that owns both, and is stepped by the test."""

    def lose_a_shard() -> None:
        shards = halves.outbox.shards
        with halves.engine.begin() as connection:
            its = shards.c.job == "outbox", shards.c.shard == 0
            connection.execute(update(shards).where(*its).values(epoch=shards.c.epoch + 1))

    scheduler = halves.scheduler(Meanwhile(lose_a_shard))
    scheduler.ownership.acquire()
    yield scheduler
    scheduler.stop()


def test_what_was_written_is_told_once_though_nobody_can_ask_who_owns_what(
    halves: Application, relay: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, lost = relay.ownership.refresh, [ConnectionError("the database is away")]

    def fail_once() -> None:
        if lost:
            raise lost.pop()
        refresh()

    monkeypatch.setattr(relay.ownership, "refresh", fail_once)
    in_the_other = sum(row.shard == 1 for row in halves.rows())
    for _ in range(2):
        with suppress(ConnectionError):
            relay.relays[0].step()
    assert halves.statuses().count(Status.SUCCESS) == told(halves) == in_the_other
    assert halves.signals.of(SettleFenced)[0].tasks == 40 - in_the_other
    assert [str(failed.error) for failed in halves.signals.of(StepFailed)] == ["the database is away"]


def test_a_commit_that_happens_while_its_settle_is_written_again_is_told_once_and_fences_nothing(
    halves: Application, relay: Scheduler
) -> None:
    settler: Any = relay.relays[0]._settler
    settlement = Settlement(read_tasks(halves))
    unsettled = Unsettled(settlement, ParkingChange(), relay.ownership.in_use(), may_be_written=True)
    again = threading.Thread(target=lambda: settler.settle(unsettled, by_second=False))
    with halves.engine.connect() as first:
        settlement.write(first, halves.outbox.tasks, delete_succeeded=False)
        again.start()
        eventually(lambda: somebody_waits(halves.engine) or not again.is_alive())
        first.commit()
    again.join(LONG)

    def is_told() -> bool:
        settler.catch_up()
        return told(halves) == 40

    eventually(is_told)
    assert halves.statuses() == [Status.SUCCESS] * 40
    assert halves.signals.of(SettleFenced) == []

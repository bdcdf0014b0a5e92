"""What a scheduler counts."""

from __future__ import annotations

from asyncflow.scheduler import SENT, Outcome, Record, Rejected, Retry, Unavailable
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import Gate, Meanwhile
from tests.integration.scheduler.writing import FAR, alter, publish_many
from tests.support.application import Application


def test_outcomes_are_counted(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    sqlite_application.outbox.message("moody", **FAR)
    publish_many(sqlite_application, 6, "moody")
    moods: dict[bytes, Outcome] = {b'{"n":0}': Retry("no"), b'{"n":1}': Rejected("never")}

    def answer(record: Record) -> Outcome:
        return moods.get(record.value, SENT)

    scheduler = sqlite_schedule(MemoryPublisher(answer))
    scheduler.drain()
    counters = scheduler.counters()
    assert (counters.succeeded, counters.retried, counters.failed, counters.fenced) == (4, 1, 1, 0)
    assert counters.breakers == {"kafka": "closed"}


def test_fenced_settles_are_counted(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    publish_many(sqlite_application, 3)
    scheduler = sqlite_schedule(Meanwhile(lambda: alter(sqlite_application, "status = 4")))
    scheduler.drain()
    assert scheduler.counters().fenced == 3


def test_open_breakers_are_shown(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    publish_many(sqlite_application, 3)
    scheduler = sqlite_schedule(MemoryPublisher(lambda _: Unavailable("gone")))
    scheduler.drain()
    assert scheduler.counters().breakers == {"kafka": "open"}


def test_ticks_are_counted_also_those_that_meet_a_relay_at_work(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    publish_many(sqlite_application, 1)
    gate = Gate()
    scheduler = sqlite_schedule(gate, tick=60)
    scheduler.start()
    gate.wait()
    before = scheduler.counters()
    for _ in range(3):
        scheduler.relay_runners[0].tick()
    gate.opened.set()
    after = scheduler.counters()
    assert after.ticks - before.ticks == 3
    assert after.misfired - before.misfired == 1
    assert after.coalesced - before.coalesced == 2


def test_shards_handed_over_are_counted(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    first, second = sqlite_schedule(), sqlite_schedule()
    first.ownership.acquire()
    second.ownership.acquire()
    first.stop()
    assert first.counters().handed_over == 64
    assert len(second.ownership.epochs()) == 0
    second.ownership.refresh()
    assert len(second.ownership.epochs()) == 64

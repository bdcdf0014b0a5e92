"""Every option of the scheduler does something; each test shows it, against another value of the same option."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text

from asyncflow import Scheduler, SchedulerSettings, Status
from asyncflow.events import BreakerChanged, SettledRowsDeleted, SettleFenced
from asyncflow.scheduler import DeadLetters, Outcome, Record, Selection, Unavailable
from asyncflow.scheduler.archive.reader import files_of, rows_of
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule, scheduling
from tests.integration.scheduler.publishers import Gate, Switch
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import alter, long_ago, publish, publish_many, texts
from tests.support.application import Application
from tests.support.lateness import Lateness
from tests.unit.scheduler.waiting import eventually

HOUR = 3600.0
# Nothing of its own accord: what a test shows comes from the one option it sets.
ASLEEP: dict[str, Any] = {
    "tick": HOUR,
    "min_pause_seconds": HOUR,
    "max_pause_seconds": HOUR,
    "wake_on_commit": False,
    "success_retention_seconds": None,
    "failed_retention_seconds": None,
}


@pytest.fixture
def application(sqlite_application: Application) -> Application:
    """Use SQLite: options mean the same on every database."""
    return sqlite_application


@pytest.fixture
def schedule(application: Application, made: list[Scheduler]) -> Schedule:
    return scheduling(application, made)


def looked(scheduler: Scheduler) -> Callable[[], bool]:
    """Return a function that tells whether the relay has looked for work and now waits, and nobody has woken it."""
    latch = scheduler.relay_runners[0].loop.latch
    return lambda: not latch._working and not latch._woken.is_set()


def test_instance_index_chooses_the_share(application: Application, schedule: Schedule) -> None:
    owned = [set(owned_by(schedule, instance_index=index, instance_count=2)) for index in (0, 1)]
    assert owned == [set(range(0, 64, 2)), set(range(1, 64, 2))]


def test_instance_count_chooses_the_size_of_the_share(application: Application, schedule: Schedule) -> None:
    assert [len(owned_by(schedule, instance_count=count)) for count in (1, 2, 4)] == [64, 32, 16]


def owned_by(schedule: Schedule, **options: Any) -> list[int]:
    scheduler = schedule(**options)
    scheduler.ownership.acquire()
    return list(scheduler.ownership.epochs())


def test_sharding_strategy_deals_the_shards(application: Application, schedule: Schedule) -> None:
    halves = (set(range(32)), set(range(32, 64)))

    def odd_and_even(job_name: str, members: Sequence[str], item_count: int, owners: object) -> dict[str, list[int]]:
        return {member: list(range(place, item_count, len(members))) for place, member in enumerate(members)}

    for strategy, dealt in {
        "AVG_ALLOCATION": halves,
        odd_and_even: (set(range(0, 64, 2)), set(range(1, 64, 2))),
    }.items():
        pair = [schedule(sharding_strategy=strategy) for _ in range(2)]
        pair.sort(key=lambda scheduler: scheduler.ownership.owner)
        for scheduler in pair:
            scheduler.ownership.acquire()
        settle_shares(pair)
        assert [set(scheduler.ownership.epochs()) for scheduler in pair] == list(dealt)
        for scheduler in pair:
            scheduler.ownership.release()


def settle_shares(schedulers: list[Scheduler]) -> None:
    """Let each look until none has anything to do."""
    eventually(lambda: [s.cluster.step() for s in schedulers] and all(s.ownership.is_at_rest for s in schedulers))


def test_lease_seconds_is_how_long_the_dead_hold_up_the_living(application: Application, schedule: Schedule) -> None:
    for seconds in (0.3, 0.9):
        began = time.monotonic()
        with Lateness(application.engine) as machine:
            schedule(lease_seconds=seconds, heartbeat_seconds=0.1).ownership.acquire()  # and is heard of no more
            heir = schedule(heartbeat_seconds=0.1)
            heir.start()
            eventually(lambda heir=heir: len(heir.ownership.epochs()) == 64)  # type: ignore[misc]
            wait = time.monotonic() - began
        heir.stop()
        # A busy machine is late at each step: two starts, the wait, a look and what it finds.
        assert 0.9 * seconds < wait < seconds + 0.9 + 8 * machine.worst


def test_heartbeat_seconds_is_between_two_looks(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(heartbeat_seconds=0.4)
    scheduler.ownership.acquire()
    scheduler.cluster.step()
    assert scheduler.cluster.step() == 0.4


def test_tick_wakes_a_relay_that_sleeps(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(**{**ASLEEP, "tick": 0.01})
    scheduler.start()
    eventually(looked(scheduler))
    publish(application)
    wait_for_settled(application.signals, "kafka", 1)


def test_without_a_tick_it_sleeps_on(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(**ASLEEP)
    scheduler.start()
    eventually(looked(scheduler))
    asking: list[str] = []

    def note(*_: object) -> None:
        asking.append(threading.current_thread().name)

    event.listen(application.engine, "before_cursor_execute", note)
    publish(application)
    assert scheduler.wait(0.1) is False
    event.remove(application.engine, "before_cursor_execute", note)
    assert "asyncflow-relay-kafka" not in asking


def test_min_pause_seconds_is_the_first_pause(schedule: Schedule) -> None:
    for seconds in (0.25, 0.5):
        relay = schedule(min_pause_seconds=seconds).relays[0]
        assert relay.step() == seconds


def test_max_pause_seconds_ends_the_doubling(schedule: Schedule) -> None:
    relay = schedule(min_pause_seconds=1, max_pause_seconds=3).relays[0]
    assert [relay.step() for _ in range(4)] == [1, 2, 3, 3]


def test_wake_on_commit_lets_a_sleeping_relay_look_at_once(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(**{**ASLEEP, "wake_on_commit": True})
    scheduler.start()
    eventually(looked(scheduler))
    publish(application)
    wait_for_settled(application.signals, "kafka", 1)


def test_round_size_bounds_what_is_published_at_once(application: Application, schedule: Schedule) -> None:
    largest = {}
    for size in (3, 50):
        publish_many(application, 100)
        publisher = Switch()
        schedule(publisher, round_size=size).drain()
        largest[size] = max(publisher.batches)
    assert largest[3] <= 3 < largest[50] <= 50


def test_round_bytes_makes_rounds_of_large_rows_small(application: Application, schedule: Schedule) -> None:
    later = {}
    for most in (20_000, 16 * 1024 * 1024):
        with application.session() as session, session.begin():
            for _ in range(400):
                application.outbox.publish(session, "user.registered", b"x" * 2000)
        publisher = Switch()
        schedule(publisher, round_bytes=most).drain()
        later[most] = max(publisher.batches[1:])
    assert later[20_000] <= 10 < later[16 * 1024 * 1024]


@pytest.mark.parametrize(("on_success", "left"), [("keep", [Status.SUCCESS] * 5), ("delete", [])])
def test_on_success_keeps_or_deletes(
    on_success: str, left: list[int], application: Application, schedule: Schedule
) -> None:
    publish_many(application, 5)
    schedule(on_success=on_success).drain()
    assert application.statuses() == left
    assert application.signals.of(SettleFenced) == []


def test_periodic_interval_seconds_is_between_two_looks(application: Application, schedule: Schedule) -> None:
    application.outbox.task("report.send")
    application.outbox.periodic("report.send", "0 0 1 1 *")
    timetable = schedule(periodic_interval_seconds=7).machinery.staff.timetable
    while (pause := timetable.step()) == 0:
        pass
    assert pause == 7


def retained(application: Application, schedule: Schedule, status: Status, **options: Any) -> int:
    """Return how many of 3 rows settled years ago are left after cleaning."""
    publish_many(application, 3)
    alter(application, f"status = {int(status)}", "status = 0")
    long_ago(application)
    scheduler = schedule(**options)
    scheduler.ownership.acquire()
    while scheduler.machinery.staff.cleaner.step() < 1:
        pass
    return len(application.rows())


@pytest.mark.parametrize(("seconds", "left"), [(HOUR, 0), (10 * 365 * 24 * HOUR, 3), (None, 3)])
def test_success_retention_seconds_keeps_or_not(
    seconds: float | None, left: int, application: Application, schedule: Schedule
) -> None:
    assert retained(application, schedule, Status.SUCCESS, success_retention_seconds=seconds) == left


@pytest.mark.parametrize(("seconds", "left"), [(HOUR, 0), (10 * 365 * 24 * HOUR, 3), (None, 3)])
def test_failed_retention_seconds_keeps_or_not(
    seconds: float | None, left: int, application: Application, schedule: Schedule
) -> None:
    assert retained(application, schedule, Status.FAILED, failed_retention_seconds=seconds) == left


@pytest.mark.parametrize(("seconds", "left"), [(HOUR, 0), (10 * 365 * 24 * HOUR, 1), (None, 1)])
def test_audit_retention_seconds_deletes_entries_or_not(
    seconds: float | None, left: int, application: Application, schedule: Schedule
) -> None:
    publish(application)
    DeadLetters(application.engine, application.outbox).cancel(Selection(task_type="user.registered"), actor="ann")
    entries = application.outbox.audit_entries
    with application.engine.begin() as connection:
        connection.execute(text(f"UPDATE {entries.fullname} SET at = '2020-01-01 00:00:00.000000'"))
    scheduler = schedule(audit_retention_seconds=seconds)
    scheduler.ownership.acquire()
    scheduler.machinery.staff.cleaner.step()
    assert len(application.rows(select(entries))) == left


@pytest.mark.parametrize(("seconds", "left"), [(HOUR, 0), (10 * 365 * 24 * HOUR, 1), (None, 1)])
def test_dedupe_retention_seconds_forgets_keys_or_not(
    seconds: float | None, left: int, application: Application, schedule: Schedule
) -> None:
    publish(application, idempotency_key="k")
    keys = application.outbox.dedupe_entries
    with application.engine.begin() as connection:
        connection.execute(text(f"UPDATE {keys.fullname} SET created_at = '2020-01-01 00:00:00.000000'"))
    scheduler = schedule(dedupe_retention_seconds=seconds)
    scheduler.ownership.acquire()
    scheduler.machinery.staff.cleaner.step()
    assert len(application.rows(select(keys))) == left


@pytest.mark.parametrize(("seconds", "left"), [(HOUR, 0), (10 * 365 * 24 * HOUR, 1), (None, 1)])
def test_inbox_retention_seconds_deletes_entries_or_not(
    seconds: float | None, left: int, application: Application, schedule: Schedule
) -> None:
    entries = application.inbox.entries
    with application.engine.begin() as connection:
        assert application.inbox.process_once(connection, "m1", consumer="points")
        connection.execute(text(f"UPDATE {entries.fullname} SET processed_at = '2020-01-01 00:00:00.000000'"))
    scheduler = schedule(inbox_retention_seconds=seconds)
    scheduler.ownership.acquire()
    scheduler.machinery.staff.cleaner.step()
    assert len(application.rows(select(entries))) == left


def test_archive_directory_has_what_the_cleaner_deletes(
    application: Application, schedule: Schedule, tmp_path: Path
) -> None:
    ids = publish_many(application, 2)
    alter(application, "status = 2")
    long_ago(application)
    scheduler = schedule(archive_directory=str(tmp_path), success_retention_seconds=HOUR)
    scheduler.ownership.acquire()
    scheduler.machinery.staff.cleaner.step()
    assert application.rows() == []
    assert {row["id"] for path in files_of([str(tmp_path)]) for row in rows_of(path)} == texts(ids)


def test_cleaning_interval_seconds_is_between_two_runs(application: Application, schedule: Schedule) -> None:
    assert schedule(cleaning_interval_seconds=7).machinery.staff.cleaner.step() == 7
    schedule(cleaning_interval_seconds=0.01).start()
    for run in (1, 2):
        publish_many(application, 1)
        wait_for_settled(application.signals, "kafka", run)
        long_ago(application)
        eventually(lambda: not application.rows())


def test_cleaning_batch_bounds_a_transaction(application: Application, schedule: Schedule) -> None:
    publish_many(application, 10)
    alter(application, "status = 2, shard = 0")
    long_ago(application)
    scheduler = schedule(cleaning_batch=4)
    scheduler.ownership.acquire()
    while scheduler.machinery.staff.cleaner.step() < 1:
        pass
    assert [one.rows for one in application.signals.of(SettledRowsDeleted)] == [4, 4, 2]


def test_cleaning_pause_seconds_is_between_two_batches(application: Application, schedule: Schedule) -> None:
    publish_many(application, 2)
    alter(application, "status = 2, shard = 0")
    long_ago(application)
    scheduler = schedule(cleaning_batch=1, cleaning_pause_seconds=0.75)
    scheduler.ownership.acquire()
    assert scheduler.machinery.staff.cleaner.step() == 0.75


def lease_of_a_claim(application: Application, schedule: Schedule, seconds: float) -> float:
    ends: list[float] = []

    @application.outbox.task(f"look.{seconds}")
    def look() -> None:
        row = application.rows()[-1]
        ends.append((row.order_time - row.modified_at).total_seconds())

    with application.session() as session, session.begin():
        application.outbox.enqueue(session, look)
    schedule(claim_lease_seconds=seconds).drain()
    return ends[0]


def test_claim_lease_seconds_is_how_long_a_claim_lasts(application: Application, schedule: Schedule) -> None:
    assert lease_of_a_claim(application, schedule, 20.0) == pytest.approx(20, abs=0.1)
    assert lease_of_a_claim(application, schedule, 90.0) == pytest.approx(90, abs=0.1)


def test_monitor_interval_seconds_is_between_two_looks(application: Application, schedule: Schedule) -> None:
    application.outbox.task("any")
    for seconds in (0.25, 0.75):
        assert schedule(monitor_interval_seconds=seconds).machinery.staff.monitor.step() == seconds


def test_configuration_interval_seconds_is_between_two_readings(schedule: Schedule) -> None:
    for seconds in (0.25, 0.75):
        assert schedule(configuration_interval_seconds=seconds).types.step() == seconds


def away(_: Record) -> Outcome:
    return Unavailable("refused")


def opened_for(application: Application) -> list[float]:
    changes = application.signals.of(BreakerChanged)
    return [change.retry_in_seconds for change in changes if change.state == "open"]


def test_breaker_pause_seconds_is_the_first_pause_of_the_breaker(application: Application, schedule: Schedule) -> None:
    publish(application)
    for seconds in (150.0, 250.0):
        schedule(MemoryPublisher(away), breaker_pause_seconds=seconds, max_breaker_pause_seconds=HOUR).drain()
    assert opened_for(application) == [150, 250]


def test_max_breaker_pause_seconds_ends_its_doubling(application: Application, schedule: Schedule) -> None:
    publish(application)
    scheduler = schedule(MemoryPublisher(away), breaker_pause_seconds=1, max_breaker_pause_seconds=3)
    now = [0.0]
    scheduler.relays[0].breaker._clock = lambda: now[0]
    for _ in range(4):
        scheduler.drain()
        now[0] += 10
    assert opened_for(application) == [1, 2, 3, 3]


def test_stop_timeout_seconds_bounds_the_stop(application: Application, schedule: Schedule) -> None:
    publish(application)
    publisher = Gate()
    scheduler = schedule(publisher, stop_timeout_seconds=0.05)
    scheduler.start()
    publisher.wait()
    began = time.monotonic()
    assert scheduler.stop() is False
    assert 0.04 < time.monotonic() - began < 30
    publisher.opened.set()
    wait_for_settled(application.signals, "kafka", 1)


def test_stop_timeout_seconds_is_long_enough_for_work_that_ends(application: Application, schedule: Schedule) -> None:
    publish(application)
    publisher = Gate()
    scheduler = schedule(publisher, stop_timeout_seconds=60)
    scheduler.start()
    publisher.wait()
    threading.Timer(0.05, publisher.opened.set).start()
    assert scheduler.stop() is True
    assert application.statuses() == [Status.SUCCESS]


SHOWN: dict[str, Callable[..., None]] = {
    "instance_index": test_instance_index_chooses_the_share,
    "instance_count": test_instance_count_chooses_the_size_of_the_share,
    "sharding_strategy": test_sharding_strategy_deals_the_shards,
    "lease_seconds": test_lease_seconds_is_how_long_the_dead_hold_up_the_living,
    "heartbeat_seconds": test_heartbeat_seconds_is_between_two_looks,
    "tick": test_tick_wakes_a_relay_that_sleeps,
    "min_pause_seconds": test_min_pause_seconds_is_the_first_pause,
    "max_pause_seconds": test_max_pause_seconds_ends_the_doubling,
    "wake_on_commit": test_wake_on_commit_lets_a_sleeping_relay_look_at_once,
    "round_size": test_round_size_bounds_what_is_published_at_once,
    "round_bytes": test_round_bytes_makes_rounds_of_large_rows_small,
    "on_success": test_on_success_keeps_or_deletes,
    "claim_lease_seconds": test_claim_lease_seconds_is_how_long_a_claim_lasts,
    "monitor_interval_seconds": test_monitor_interval_seconds_is_between_two_looks,
    "periodic_interval_seconds": test_periodic_interval_seconds_is_between_two_looks,
    "configuration_interval_seconds": test_configuration_interval_seconds_is_between_two_readings,
    "success_retention_seconds": test_success_retention_seconds_keeps_or_not,
    "failed_retention_seconds": test_failed_retention_seconds_keeps_or_not,
    "audit_retention_seconds": test_audit_retention_seconds_deletes_entries_or_not,
    "dedupe_retention_seconds": test_dedupe_retention_seconds_forgets_keys_or_not,
    "inbox_retention_seconds": test_inbox_retention_seconds_deletes_entries_or_not,
    "archive_directory": test_archive_directory_has_what_the_cleaner_deletes,
    "cleaning_interval_seconds": test_cleaning_interval_seconds_is_between_two_runs,
    "cleaning_batch": test_cleaning_batch_bounds_a_transaction,
    "cleaning_pause_seconds": test_cleaning_pause_seconds_is_between_two_batches,
    "breaker_pause_seconds": test_breaker_pause_seconds_is_the_first_pause_of_the_breaker,
    "max_breaker_pause_seconds": test_max_breaker_pause_seconds_ends_its_doubling,
    "stop_timeout_seconds": test_stop_timeout_seconds_bounds_the_stop,
}


def test_every_option_has_a_test_that_shows_its_effect() -> None:
    assert list(SHOWN) == [field.name for field in fields(SchedulerSettings)]


@pytest.mark.parametrize("name", SHOWN)
def test_the_test_of_an_option_is_named_after_it(name: str) -> None:
    assert SHOWN[name].__name__.startswith(f"test_{name}_")
    assert len(set(SHOWN.values())) == len(SHOWN)

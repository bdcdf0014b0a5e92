"""Inbox entries are deleted when their retention is over, by one instance for all, wherever there are any."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import MetaData, Table, insert, select, text

from asyncflow import Inbox, Outbox, Scheduler
from asyncflow.events import IdempotencyKeysForgotten, InboxEntriesDeleted, StepFailed, StepRecovered
from asyncflow.scheduler.upkeep import old_inbox_entries
from asyncflow.testing import Signals
from tests.integration.conftest import Schedule
from tests.integration.scheduler.upkeep.test_cleaner import clean, cleaner
from tests.integration.scheduler.upkeep.test_dedupe_cleaning import used
from tests.integration.scheduler.writing import statements
from tests.support.application import Application

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


def remember(application: Application, count: int, age: timedelta, entries: Table | None = None) -> None:
    """Let messages have been taken that long ago."""
    rows = [{"consumer": "c", "message_id": f"{age.days}-{n}", "processed_at": -age} for n in range(count)]
    with application.engine.begin() as connection:
        connection.execute(insert(application.inbox.entries if entries is None else entries), rows)


def left(application: Application, entries: Table | None = None) -> list[str]:
    table = application.inbox.entries if entries is None else entries
    return sorted(row.message_id for row in application.rows(select(table)))


def told(signals: Signals) -> list[tuple[str, int]]:
    return [(event.table, event.rows) for event in signals.of(InboxEntriesDeleted)]


def test_entries_older_than_two_weeks_are_deleted_in_batches(application: Application, schedule: Schedule) -> None:
    remember(application, 10, timedelta(days=15))
    remember(application, 2, timedelta(days=13))
    clean(cleaner(schedule, cleaning_batch=4))
    assert left(application) == ["13-0", "13-1"]
    assert told(application.signals) == [("asyncflow_inbox", 4), ("asyncflow_inbox", 4), ("asyncflow_inbox", 2)]


def test_every_inbox_of_the_metadata_is_cleaned_also_one_made_later(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    application, one = sqlite_application, cleaner(sqlite_schedule)
    clean(one)
    other = Inbox(application.Base.metadata, prefix="other_").entries
    other.create(application.engine)
    for entries in (application.inbox.entries, other):
        remember(application, 3, timedelta(days=30), entries)
    clean(one)
    assert (left(application), left(application, other)) == ([], [])
    assert sorted(told(application.signals)) == [("asyncflow_inbox", 3), ("other_inbox", 3)]


def test_an_inbox_that_this_database_does_not_have_is_none_of_ours_until_it_does(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = application.inbox.entries
    entries.drop(application.engine)
    one = cleaner(schedule)
    try:
        clean(one)
        with statements(application.engine) as sent:
            clean(one)
        assert [text for text in sent if entries.name in text] == []
    finally:
        entries.create(application.engine)
    remember(application, 1, timedelta(days=30))
    monkeypatch.setattr(one._shardless._old_inbox_entries, "_clock", lambda: float("inf"))
    clean(one)
    assert left(application) == []
    assert application.signals.of(StepFailed) == []


def test_without_an_inbox_nothing_is_asked(sqlite_application: Application) -> None:
    outbox = Outbox(MetaData())
    scheduler = Scheduler(sqlite_application.engine, outbox, {}, lease_seconds=600)
    scheduler.ownership.acquire()
    with statements(sqlite_application.engine) as sent:
        clean(scheduler.machinery.staff.cleaner)
    scheduler.stop()
    assert [text for text in sent if "inbox" in text] == []


@on_servers
def test_what_somebody_has_locked_is_left_and_nothing_else_is(application: Application, schedule: Schedule) -> None:
    remember(application, 3, timedelta(days=30))
    entries, one = application.inbox.entries, cleaner(schedule)
    with application.engine.connect() as rival:
        one_row = (entries.c.consumer == "c", entries.c.message_id == "30-1")
        assert rival.execute(select(entries).where(*one_row).with_for_update()).all()
        clean(one)
        assert left(application) == ["30-1"]
        rival.rollback()
    clean(one)
    assert left(application) == []


def test_who_does_not_own_the_first_shard_leaves_them(application: Application, schedule: Schedule) -> None:
    remember(application, 1, timedelta(days=30))
    clean(cleaner(schedule, instance_index=1, instance_count=2))
    assert left(application) == ["30-0"]
    clean(cleaner(schedule, instance_index=0, instance_count=2))
    assert left(application) == []


def test_one_that_cannot_be_cleaned_is_told_of_and_holds_up_nothing_else(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    application, now = sqlite_application, [0.0]
    other = Inbox(application.Base.metadata, prefix="z_").entries
    other.create(application.engine)
    for entries in (application.inbox.entries, other):
        remember(application, 1, timedelta(days=30), entries)
    rename(application, "asyncflow_inbox", "processed_at", "moved")
    used(application, 1, timedelta(days=30))
    one: Any = cleaner(sqlite_schedule)
    one._shardless._old_inbox_entries._clock = lambda: now[0]
    clean(one)
    assert left(application, other) == []
    assert len(application.signals.of(IdempotencyKeysForgotten)) == 1
    clean(one)
    (failed,) = application.signals.of(StepFailed)
    assert (failed.loop, failed.pause_seconds) == ("inbox cleaner", old_inbox_entries._REST_SECONDS)
    assert "processed_at" in str(failed.error)
    rename(application, "asyncflow_inbox", "moved", "processed_at")
    now[0] += old_inbox_entries._REST_SECONDS
    clean(one)
    assert left(application) == []
    assert [event.failures for event in application.signals.of(StepRecovered)] == [1]


def rename(application: Application, table: str, old: str, new: str) -> None:
    with application.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}"))

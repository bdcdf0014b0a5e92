"""What is kept up in the background happens once, though the answer of any COMMIT is lost."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, insert, update

from asyncflow.events import Hooks, PeriodicTasksEnqueued
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.upkeep.timetable import Timetable
from asyncflow.testing import Signals
from tests.integration.conftest import Network
from tests.support.application import Application

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@on_servers
def test_a_periodic_task_is_enqueued_and_told_of_once_for_each_due_time(network: Network, through: Engine) -> None:
    application, proxy = Application(network.past), network.proxy
    application.outbox.task("tick")(lambda: None)
    application.outbox.periodic("tick", cron="0 0 * * *")
    signals = Signals()
    for lost in range(6):
        timetable = Timetable(Instance(application.outbox, through, SchedulerSettings(), Hooks([signals])))
        entries = application.outbox.periodic_entries
        with application.engine.begin() as connection:
            connection.execute(update(entries).values(next_due=datetime(2026, 1, 1 + lost, tzinfo=timezone.utc)))
        proxy.lose_nth(lost)
        for _ in range(4):
            timetable.step()
        timetable.close()
    enqueued = sum(event.tasks for event in signals.of(PeriodicTasksEnqueued))
    assert enqueued == len(application.rows()) == 5  # the first round recorded it


@on_servers
def test_an_inbox_that_is_cleaned_counts_each_entry_once(network: Network, through: Engine) -> None:
    application, proxy = Application(network.past), network.proxy
    entries = application.inbox.entries
    rows = [{"consumer": "c", "message_id": str(n), "processed_at": -timedelta(days=30)} for n in range(700)]
    for lost in range(1, 4):
        with application.engine.begin() as connection:
            connection.execute(insert(entries), rows)
        proxy.lose_nth(lost)
        assert application.inbox.clean(through) == len(rows)
        assert application.rows(entries.select()) == []

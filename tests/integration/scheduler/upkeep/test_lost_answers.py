"""What is kept up in the background happens once, though the answer of any COMMIT is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import URL, Engine, insert, update

from asyncflow.events import Hooks, PeriodicTasksEnqueued
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.upkeep.timetable import Timetable
from asyncflow.testing import Signals
from tests.support.application import Application
from tests.support.databases import drop_everything, open_engine
from tests.support.proxy import Proxy, proxy_to

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
Network = tuple[Application, Engine, Proxy]


@pytest.fixture
def network(database_url: URL) -> Iterator[Network]:
    with proxy_to(database_url) as (proxy, url):
        engine, through = open_engine(database_url), open_engine(url)
        yield Application(engine), through, proxy
        through.dispose()
        drop_everything(engine)
        engine.dispose()


@on_servers
def test_a_periodic_task_is_enqueued_and_told_of_once_for_each_due_time(network: Network) -> None:
    application, through, proxy = network
    application.outbox.task("tick")(lambda: None)
    application.outbox.periodic("tick", cron="0 0 * * *")
    signals = Signals()
    for lost in range(6):
        timetable = Timetable(Instance(application.outbox, through, SchedulerSettings(), Hooks([signals])))
        entries = application.outbox.periodic_entries
        with application.engine.begin() as connection:
            connection.execute(update(entries).values(next_due=datetime(2026, 1, 1 + lost, tzinfo=timezone.utc)))
        before = proxy.commits
        proxy.lose_answers(lambda number, at=before + lost: number == at)  # type: ignore[misc]
        for _ in range(4):
            timetable.step()
        timetable.close()
    enqueued = sum(event.tasks for event in signals.of(PeriodicTasksEnqueued))
    assert enqueued == len(application.rows()) == 5  # the first round recorded it


@on_servers
def test_an_inbox_that_is_cleaned_counts_each_entry_once(network: Network) -> None:
    application, through, proxy = network
    entries = application.inbox.entries
    rows = [{"consumer": "c", "message_id": str(n), "processed_at": -timedelta(days=30)} for n in range(700)]
    for lost in range(1, 4):
        with application.engine.begin() as connection:
            connection.execute(insert(entries), rows)
        before = proxy.commits
        proxy.lose_answers(lambda number, at=before + lost: number == at)  # type: ignore[misc]
        assert application.inbox.clean(through) == len(rows)
        assert application.rows(entries.select()) == []

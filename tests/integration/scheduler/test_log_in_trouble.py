"""What the log says while a database or a broker is away: that it began, and that it is over, of each loop once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import URL, Table

from asyncflow import Status, events
from asyncflow.integrations.logging import LoggingHook
from asyncflow.scheduler import SENT, Outcome, Record, Unavailable
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.logs import Log
from tests.integration.scheduler.relay.test_locked_rows import table_locked
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application
from tests.support.databases import drop_everything, open_engine
from tests.support.proxy import proxy_to
from tests.unit.scheduler.waiting import eventually

OPTIONS: dict[str, Any] = {
    "lease_seconds": 3.0,
    "heartbeat_seconds": 0.3,
    "tick": 0.2,
    "monitor_interval_seconds": 0.3,
    "configuration_interval_seconds": 0.3,
    "cleaning_interval_seconds": 0.5,
}
servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


def require_calm(log: Log) -> None:
    """Assert that no line has a traceback, and that each loop told of its trouble once, until it was over."""
    assert [record.getMessage() for record in log.records() if record.exc_info] == []
    foreign = [one for one in log.records(logging.WARNING) if not one.name.startswith("asyncflow")]
    assert [(one.name, one.getMessage()) for one in foreign] == []
    in_trouble: set[str] = set()
    for event in log.told(events.Event):
        if isinstance(event, events.StepFailed):
            assert event.loop not in in_trouble, f"{event.loop} told of it twice"
            in_trouble.add(event.loop)
        elif isinstance(event, events.StepRecovered):
            in_trouble.discard(event.loop)


def failures(application: Application) -> Counter[str]:
    return Counter(event.loop for event in application.signals.of(events.StepFailed))


@servers
def test_a_database_that_is_away_is_told_of_once_by_each_loop(database_url: URL, log: Log) -> None:
    engine = open_engine(database_url)
    with proxy_to(database_url) as (proxy, url), log.caplog.at_level(logging.INFO):
        through = open_engine(url)
        application = Application(engine)
        application.outbox.task("nothing")(lambda: None)
        application.engine = through
        scheduler = application.scheduler(MemoryPublisher(), LoggingHook(), **OPTIONS)
        with scheduler:
            application.engine = engine
            publish_many(application, 20)
            eventually(lambda: application.statuses() == [Status.SUCCESS] * 20)
            proxy.refuse()
            proxy.reset()
            publish_many(application, 20)
            eventually(lambda: len([loop for loop, count in failures(application).items() if count >= 3]) >= 4)
            proxy.refuse(False)
            eventually(lambda: application.statuses() == [Status.SUCCESS] * 40)
            eventually(lambda: failures(application).keys() <= recovered(application) | _BESIDE)
        require_calm(log)
        through.dispose()
    drop_everything(engine)
    engine.dispose()


_BESIDE = {"relay-kafka"}  # which has a writer beside it, whose failures no step of its own ends


def recovered(application: Application) -> set[str]:
    return {event.loop for event in application.signals.of(events.StepRecovered)}


@servers
def test_a_table_that_is_locked_is_told_of_once_by_each_loop(application: Application, log: Log) -> None:
    tables: Sequence[Table] = (application.outbox.tasks, application.outbox.shards)
    with (
        log.caplog.at_level(logging.INFO),
        application.scheduler(MemoryPublisher(), LoggingHook(), **{**OPTIONS, "lease_seconds": 30.0}),
    ):
        for table in tables:
            with table_locked(application.engine, table):
                eventually(lambda: sum(failures(application).values()) >= 3)
            publish_many(application, 5)
            eventually(lambda: Status.PENDING not in application.statuses())
    require_calm(log)


class Away(MemoryPublisher):
    """Be a publisher whose broker can go away."""

    is_away = False

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        return [Unavailable("no broker") if self.is_away else SENT for _ in batch]


def test_a_broker_that_is_away_is_told_of_once_and_when_it_is_back(sqlite_application: Application, log: Log) -> None:
    publisher = Away()
    publisher.is_away = True
    options = {**OPTIONS, "breaker_pause_seconds": 0.05, "max_breaker_pause_seconds": 0.05}
    with (
        log.caplog.at_level(logging.INFO),
        sqlite_application.scheduler(publisher, LoggingHook(), **options),
    ):
        publish_many(sqlite_application, 5)
        eventually(lambda: len(sqlite_application.signals.of(events.BreakerChanged)) > 10)
        publisher.is_away = False
        eventually(lambda: sqlite_application.statuses() == [Status.SUCCESS] * 5)
    assert [event.state for event in log.told(events.BreakerChanged)] == ["open", "closed"]
    require_calm(log)

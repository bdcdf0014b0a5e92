"""Schedulers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import URL, Engine

from asyncflow import Scheduler
from asyncflow.scheduler.diagnosis import kept_look
from tests.support.application import Application
from tests.support.databases import drop_everything, open_engine
from tests.support.patience import be_patient
from tests.support.proxy import Proxy, proxy_to

Schedule = Callable[..., Scheduler]


class Network(NamedTuple):
    """Hold a network to a database, the URL through it, and an engine that goes past it."""

    proxy: Proxy
    url: URL
    past: Engine


@pytest.fixture
def network(database_url: URL) -> Iterator[Network]:
    """Give a network to the database, which is empty again at the end."""
    engine = open_engine(database_url)
    with proxy_to(database_url) as (proxy, url):
        yield Network(proxy, url, engine)
    drop_everything(engine)
    engine.dispose()


@pytest.fixture
def through(network: Network) -> Iterator[Engine]:
    """Give an engine through the network."""
    engine = open_engine(network.url)
    yield engine
    engine.dispose()


@pytest.fixture
def made() -> Iterator[list[Scheduler]]:
    """Keep schedulers, and stop them at the end, also after a failure."""
    schedulers: list[Scheduler] = []
    yield schedulers
    for scheduler in schedulers:
        scheduler.stop(timeout_seconds=10)
        end_threads(scheduler)


def end_threads(scheduler: Scheduler) -> None:
    """Leave no thread of a worker that a test stepped by hand: each would keep its scheduler, and all that it holds."""
    worker = scheduler.machinery.staff.worker
    worker._threads.close()
    worker._event_loop.close()


@pytest.fixture
def schedule(application: Application, made: list[Scheduler]) -> Schedule:
    """Make schedulers of the application: ``schedule(publisher, *hooks, **options)``."""
    return scheduling(application, made)


@pytest.fixture
def sqlite_schedule(sqlite_application: Application, made: list[Scheduler]) -> Schedule:
    """Make schedulers of the application on SQLite alone."""
    return scheduling(sqlite_application, made)


def scheduling(application: Application, made: list[Scheduler]) -> Schedule:
    """Return a function that makes schedulers and keeps them."""

    def schedule(publisher: Any = None, *hooks: Any, **options: Any) -> Scheduler:
        made.append(application.scheduler(publisher, *hooks, **options))
        return made[-1]

    return schedule


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections and looks be silent for long, as a busy machine's servers are; tests of silence have a
    ``patient`` of their own that lets the limits be.
    """
    be_patient(monkeypatch.setattr)
    monkeypatch.setattr(kept_look, "_PATIENCE_SECONDS", 120.0)


@pytest.fixture
def patient_with_locks(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody give up who waits for a lock behind many others."""
    be_patient(monkeypatch.setattr, lock_wait_seconds=30)

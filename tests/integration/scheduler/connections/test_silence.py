"""Connections of which nothing comes any more, and that nobody resets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.orm import Session

from asyncflow import Scheduler, Status, Task
from asyncflow.errors import ConnectionSilentError
from asyncflow.events import BuilderFailed, StepFailed
from asyncflow.outbox.lines.connecting import connect_within
from asyncflow.outbox.lines.limits import SESSION, Limits
from asyncflow.scheduler.connections import calls
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import ids_of
from tests.integration.scheduler.writing import publish_many, texts
from tests.support.application import Application
from tests.support.drivers import sync_drivers_of
from tests.support.lateness import Lateness
from tests.support.proxy import Proxy, proxy_to
from tests.unit.scheduler.waiting import eventually

LEASE_SECONDS = 3.0
SLACK_SECONDS = 5.0
STOP_SECONDS = 4.0
OPTIONS: dict[str, Any] = {"lease_seconds": LEASE_SECONDS, "heartbeat_seconds": 0.5, "tick": 0.2}
pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def patient() -> None:
    """Let the limits be what they are."""


@pytest.fixture(params=[0, 1, 2, 3], ids=["a driver", "another", "a third", "a fourth"])
def line(request: pytest.FixtureRequest, database_url: URL) -> Iterator[tuple[Proxy, Engine]]:
    """Give a network to the database, and an engine that goes through it, with each driver."""
    drivers = sync_drivers_of(database_url.get_backend_name())
    if request.param >= len(drivers):
        pytest.skip("no further driver")
    driver = drivers[request.param]
    driver.require()
    with proxy_to(database_url) as (proxy, url):
        engine = create_engine(driver.url(url), max_overflow=30, pool_pre_ping=True)
        yield proxy, engine
        engine.dispose()


def is_done(application: Application) -> bool:
    return set(application.statuses()) == {Status.SUCCESS}


def assert_done_soon(application: Application, held_seconds: float = 0.0) -> None:
    """Wait until all is done, no longer than a lease and a little, and what a busy machine is late at each step.

    ``held_seconds``: how much longer a lost session may hold its rows.
    """
    began = time.monotonic()
    with Lateness(application.engine) as machine:
        eventually(lambda: is_done(application))
    assert time.monotonic() - began < LEASE_SECONDS + SLACK_SECONDS + held_seconds + 8 * machine.worst


def test_commits_whose_answers_never_come_hold_nothing_up_for_longer_than_a_lease(
    application: Application, line: tuple[Proxy, Engine]
) -> None:
    proxy, engine = line
    publisher = MemoryPublisher()
    with Scheduler(engine, application.outbox, {"kafka": publisher}, hooks=[application.signals], **OPTIONS):
        ids = publish_many(application, 10)
        eventually(lambda: is_done(application))
        next_one = proxy.commits + 1
        proxy.lose_answers(lambda number: number in range(next_one, next_one + 2), silent=True)
        ids += publish_many(application, 10)
        eventually(lambda: len(proxy.lost) == 2)
        more = publish_many(application, 10)
        # Its COMMIT takes two round trips: lost between them, the server ends the session as one that says nothing.
        is_in_two = engine.dialect.driver == "pg8000"
        assert_done_soon(application, SESSION.idle_transaction_seconds if is_in_two else 0.0)
    assert set(ids_of(publisher)) == texts(ids + more)


def test_a_network_that_stood_still_is_gone_on_with_and_left_cleanly(
    application: Application, line: tuple[Proxy, Engine]
) -> None:
    proxy, engine = line
    hooks = [application.signals]
    scheduler = Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()}, hooks=hooks, **OPTIONS)
    with scheduler:
        publish_many(application, 10)
        eventually(lambda: is_done(application))
        proxy.stall()
        publish_many(application, 10)
        for loop in ("cluster", "relay-kafka"):  # which have waited in vain, and tell it
            application.signals.wait_for(StepFailed, lambda failed, loop=loop: failed.loop == loop)  # type: ignore[misc]
        proxy.resume()
        assert_done_soon(application)
        proxy.stall()
        began = time.monotonic()
        with Lateness(application.engine) as machine:
            assert scheduler.stop(timeout_seconds=STOP_SECONDS) is False  # it has shares that it could not give back
            assert time.monotonic() - began < STOP_SECONDS + SLACK_SECONDS + 8 * machine.worst
        proxy.resume()


def test_a_builder_that_waits_for_a_silent_database_gives_its_relay_back(
    application: Application, line: tuple[Proxy, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIMITS", "OF_USERS"):
        monkeypatch.setattr(calls, name, Limits(silence_seconds=1.0))
    proxy, engine = line
    falls_silent = iter([proxy.stall])

    @application.outbox.message("built", retry_interval_seconds=0)
    def build(session: Session, tasks: Sequence[Task]) -> list[str]:
        session.execute(text("SELECT 1"))
        next(falls_silent, lambda: None)()
        session.execute(text("SELECT 1"))
        return ["x" for _ in tasks]

    def answer_again(event: Any) -> None:
        if isinstance(event, BuilderFailed):
            proxy.resume()

    with application.session() as session, session.begin():
        for number in range(10):
            application.outbox.publish(session, "built", key=f"A{number}")
    hooks: list[Any] = [application.signals, answer_again]
    with Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()}, hooks=hooks, **OPTIONS):
        application.signals.wait_for(BuilderFailed, lambda failed: isinstance(failed.error, ConnectionSilentError))
        eventually(lambda: is_done(application))


def test_nothing_waits_for_ever_for_a_server_that_takes_the_call_and_says_nothing(line: tuple[Proxy, Engine]) -> None:
    proxy, engine = line
    engine.connect().close()
    proxy.stall()
    for _ in range(2):
        with pytest.raises(ConnectionSilentError):
            connect_within(engine, 0.5)  # a pooled one that is asked whether it lives, then a new one
    proxy.resume()
    eventually(lambda: engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
    with connect_within(engine, 60):
        pass


def test_a_connection_that_nobody_answers_keeps_no_place_in_the_pool(line: tuple[Proxy, Engine]) -> None:
    proxy, engine = line
    engine.connect().close()
    engine.dispose()
    proxy.stall()
    with pytest.raises(ConnectionSilentError):
        connect_within(engine, 0.5)
    eventually(lambda: engine.pool.checkedout() == 0)  # type: ignore[attr-defined] # the server is as silent as before
    proxy.resume()

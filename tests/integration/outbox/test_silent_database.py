"""A database that says nothing does not keep those who ask it on engines of their own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asyncflow import Done, Scheduler
from asyncflow.errors import ConnectionSilentError
from asyncflow.outbox.lines.limits import Limits
from asyncflow.outbox.transaction import limited
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.support.drivers import sync_drivers_of
from tests.support.proxy import Proxy, proxy_to

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
ASYNC_DRIVERS = {"mysql": "asyncmy", "postgresql": "asyncpg"}
HELD_UP_SECONDS = 240.0


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
        engine = create_engine(driver.url(url))
        yield proxy, engine
        proxy.resume()
        engine.dispose()


def enqueued(application: Application) -> UUID:
    @application.outbox.task
    def nap() -> None:
        """Do nothing."""

    with application.session() as session, session.begin():
        found: UUID = nap.enqueue(session)
    return found


def meanwhile(work: Callable[[], Any]) -> Future[Any]:
    """Do something on a thread of its own, which a test that failed leaves behind."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the test's to see
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


@pytest.mark.parametrize("is_connected", [True, False])
def test_who_waits_for_a_result_is_told_in_time_that_the_database_says_nothing(
    application: Application, line: tuple[Proxy, Engine], is_connected: bool
) -> None:
    proxy, engine = line
    task_id = enqueued(application)
    if is_connected:
        engine.connect().close()
    proxy.stall()
    with pytest.raises(TimeoutError, match="the database did not say within 1 s whether task"):
        meanwhile(lambda: application.outbox.wait_result(engine, task_id, timeout_seconds=1)).result(HELD_UP_SECONDS)


def test_who_waits_for_a_result_gets_it_when_the_database_speaks_again(
    application: Application, line: tuple[Proxy, Engine]
) -> None:
    proxy, engine = line
    task_id = enqueued(application)
    engine.connect().close()
    proxy.stall()
    waited = meanwhile(lambda: application.outbox.wait_result(engine, task_id, timeout_seconds=HELD_UP_SECONDS))
    Scheduler(application.engine, application.outbox, {"kafka": MemoryPublisher()}).drain()
    time.sleep(Limits.within(0).silence_seconds)
    proxy.resume()
    assert waited.result(HELD_UP_SECONDS) == Done()


async def test_who_awaits_a_result_is_told_in_time_that_the_database_says_nothing(
    application: Application, database_url: URL
) -> None:
    task_id = enqueued(application)
    driver = ASYNC_DRIVERS[database_url.get_backend_name()]
    pytest.importorskip(driver)
    with proxy_to(database_url) as (proxy, url):
        plain = url.set(drivername=f"{url.get_backend_name()}+{driver}")
        engine: AsyncEngine = create_async_engine(plain)
        async with engine.connect():
            pass
        proxy.stall()
        waited = asyncio.ensure_future(application.outbox.await_result(engine, task_id, timeout_seconds=1))
        with pytest.raises(TimeoutError, match="the database did not say within 1 s whether task"):
            await asyncio.wait_for(asyncio.shield(waited), HELD_UP_SECONDS)
        proxy.resume()
        await engine.dispose()


def test_cleaning_the_inbox_says_that_the_database_says_nothing(
    application: Application, line: tuple[Proxy, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "OF_A_LOOK", Limits(2.0, connect_seconds=2.0))
    proxy, engine = line
    engine.connect().close()
    proxy.stall()
    with pytest.raises(ConnectionSilentError, match="the network says nothing"):
        meanwhile(lambda: application.inbox.clean(engine)).result(HELD_UP_SECONDS)
    proxy.resume()
    assert application.inbox.clean(engine) == 0

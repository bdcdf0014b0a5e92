"""A database that goes silent beneath a consumer: what it waits for is ended, and each message takes effect once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Column, Engine, Integer, Table, create_engine, func, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from asyncflow.events import AttemptFailed, StepFailed
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.kafka.consuming import consumer as module
from asyncflow.outbox.lines.limits import Limits
from asyncflow.scheduler.connections import calls
from tests.integration.scheduler.conftest import DRIVERS
from tests.support.proxy import Proxy, proxy_to
from tests.unit.integrations.kafka.test_consumer import QUICK, Place, ScriptedBroker, received
from tests.unit.scheduler.waiting import eventually

pytestmark = [
    pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True),
    pytest.mark.parametrize("is_async", [False, True]),
]
MOMENTS = ["connect", "ping", "statement", "commit", "rollback"]
LONG = 60.0


class Silenced(Place):
    """Hold a consumer behind a network that falls silent when its subscriber says so."""

    def __init__(self, url: URL, proxy: Proxy, broker: ScriptedBroker, *, is_async: bool) -> None:
        super().__init__(url.render_as_string(hide_password=False), broker)
        self.proxy, self.is_async = proxy, is_async
        self.effects = Table("effects", self.metadata, Column("id", Integer, primary_key=True))
        self.metadata.create_all(self.engine)
        driver = DRIVERS[url.get_backend_name()][0]
        through: Any = (
            create_async_engine(url.set(drivername=driver, query={}), pool_pre_ping=True)
            if is_async
            else create_engine(url, pool_pre_ping=True)
        )
        self.pool = through.sync_engine if is_async else through
        self.consumer: Consumer = self.made(through)

    def subscribe(self, meanwhile: Callable[[], Any], after: Callable[[], Any] = lambda: None) -> None:
        """Let a subscriber write an effect, with something done before and after it."""

        def write(session: Any) -> None:
            meanwhile()
            session.execute(insert(self.effects))
            after()

        async def write_async(session: Any) -> None:
            await session.run_sync(write)

        self.consumer.subscribe("coupons", name="coupons", **QUICK)(write_async if self.is_async else write)


@pytest.fixture
def silenced(engine: Engine, database_url: URL, is_async: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Silenced]:
    broker = ScriptedBroker()
    monkeypatch.setattr(module, "CLIENTS", {"kafka-python": broker.join})
    monkeypatch.setattr("asyncflow.consuming.consumer.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(calls, "LIMITS", Limits(silence_seconds=0.6))
    monkeypatch.setattr(calls, "_AGAIN_SECONDS", 0.5)
    with proxy_to(database_url) as (proxy, url):
        silenced = Silenced(url, proxy, broker, is_async=is_async)
        yield silenced
        proxy.resume()
        silenced.engine.dispose()
        silenced.pool.dispose(close=not is_async)


def test_a_message_takes_effect_once_whenever_the_database_goes_silent(
    silenced: Silenced, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "OF_USERS", Limits(silence_seconds=0.6))
    moments, moment = iter([*MOMENTS, ""]), ""
    again: list[Any] = []

    def fall_silent(*when: str) -> bool:
        """Fall silent if this is the moment, which comes once for each message."""
        nonlocal moment
        was, moment = moment, "" if moment in when else moment
        if was in when:
            silenced.proxy.stall()
        return was in when

    def give_again(event: Any) -> None:
        if isinstance(event, StepFailed):
            silenced.proxy.resume()
            silenced.broker.steps.insert(0, lambda: again[-1:])

    def begin(offset: int) -> Callable[[], Any]:
        def polled() -> Any:
            nonlocal moment
            moment = next(moments)
            again.append(received(offset))
            if moment == "connect":
                silenced.pool.dispose(close=not silenced.is_async)
            fall_silent("connect", "ping")
            return again[-1:]

        return polled

    def fail() -> None:
        fall_silent("commit")
        if fall_silent("rollback"):
            raise LookupError("and then nobody answers")

    silenced.subscribe(lambda: fall_silent("statement"), fail)
    silenced.consumer.hooks.add(give_again)
    silenced.broker.steps = [begin(offset) for offset in range(len(MOMENTS) + 1)]
    if silenced.is_async:
        asyncio.run(silenced.consumer.run_async())
    else:
        silenced.consumer.run()
    with engine.connect() as connection:
        taken = connection.execute(select(func.count()).select_from(silenced.effects)).scalar_one()
    assert next(moments, None) is None
    assert len(silenced.told(StepFailed)) >= len(MOMENTS)
    assert taken == len(MOMENTS) + 1
    assert silenced.told(AttemptFailed) == []  # none of it was the message's fault


def test_a_consumer_that_waits_for_a_silent_database_stops_soon(
    silenced: Silenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "OF_USERS", Limits(silence_seconds=600.0))
    silenced.subscribe(silenced.proxy.stall)
    silenced.broker.steps = [lambda: [received(4)]] * 2
    silenced.consumer.start()
    eventually(lambda: not silenced.proxy._flows.is_set())
    assert silenced.consumer.stop(LONG)
    assert silenced.broker.calls[-1] == "close"
    assert silenced.broker.committed == []

"""An AsyncEngine belongs to one event loop: coroutine handlers take none that the application uses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from asyncflow.events import TaskFailed
from tests.integration.conftest import Schedule
from tests.integration.scheduler.settled import wait_for_settled
from tests.support.application import Application

LONG = 60.0
DRIVERS = {"sqlite": "sqlite+aiosqlite", "mysql": "mysql+asyncmy", "postgresql": "postgresql+asyncpg"}


class Loop:
    """Be the event loop of an application, on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LONG)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LONG)
        self.loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def engine_on(url: URL, **options: Any) -> AsyncEngine:
    query = {} if url.get_backend_name() != "mysql" else {"charset": "utf8mb4"}
    return create_async_engine(url.set(drivername=DRIVERS[url.get_backend_name()], query=query), **options)


async def ask(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        await asyncio.sleep(0)
        return int((await connection.execute(text("SELECT 42"))).scalar_one())


def declare(application: Application, engine: AsyncEngine, errors: list[str]) -> None:
    @application.outbox.task(max_retries=0)
    async def asks() -> None:
        try:
            assert await ask(engine) == 42
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
            raise


def enqueue(application: Application) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "asks")


@pytest.mark.parametrize("options", [{}, {"pool_size": 1, "max_overflow": 0}], ids=["pool", "exhausted"])
def test_a_coroutine_is_refused_the_engine_of_the_application_which_notices_nothing(
    options: dict[str, Any], application: Application, schedule: Schedule, loop: Loop
) -> None:
    engine, errors = engine_on(application.engine.url, **options), list[str]()
    declare(application, engine, errors)

    async def in_transaction() -> list[int]:
        """Hold a connection while the handler asks for one."""
        async with engine.begin() as connection:
            first = (await connection.execute(text("SELECT 42"))).scalar_one()
            await asyncio.to_thread(lambda: application.signals.wait_for(TaskFailed))
            return [first, (await connection.execute(text("SELECT 42"))).scalar_one()]

    assert loop.run(ask(engine)) == 42
    kept = engine.pool.checkedin()  # type: ignore[attr-defined]
    with schedule():
        enqueue(application)
        assert loop.run(in_transaction()) == [42, 42]
    assert len(errors) == 1
    assert errors[0].startswith("EventLoopError: this AsyncEngine is used by another event loop")
    assert "engine of their own" in errors[0]
    assert engine.pool.checkedin() == kept  # type: ignore[attr-defined]
    assert [loop.run(ask(engine)) for _ in range(3)] == [42] * 3
    loop.run(engine.dispose())


def test_an_engine_that_the_coroutine_used_first_becomes_the_applications(
    application: Application, schedule: Schedule, loop: Loop
) -> None:
    engine, errors = engine_on(application.engine.url), list[str]()
    declare(application, engine, errors)
    with schedule():
        enqueue(application)
        wait_for_settled(application.signals, "handlers", 1)
        assert [loop.run(ask(engine)) for _ in range(3)] == [42] * 3
        enqueue(application)
        application.signals.wait_for(TaskFailed)
        assert loop.run(ask(engine)) == 42
    assert [error.partition(":")[0] for error in errors] == ["EventLoopError"]
    loop.run(engine.dispose())


def test_an_engine_of_their_own_is_refused_to_no_coroutine(
    application: Application, schedule: Schedule, loop: Loop
) -> None:
    applications, own = engine_on(application.engine.url), engine_on(application.engine.url)
    errors: list[str] = []
    declare(application, own, errors)
    assert loop.run(ask(applications)) == 42
    with schedule():
        for _ in range(3):
            enqueue(application)
        wait_for_settled(application.signals, "handlers", 3)
        assert loop.run(ask(applications)) == 42
    assert errors == []
    loop.run(applications.dispose())


def test_an_engine_of_a_loop_that_has_ended_is_taken_over(application: Application, schedule: Schedule) -> None:
    engine, errors = engine_on(application.engine.url), list[str]()
    declare(application, engine, errors)
    first = Loop()
    assert first.run(ask(engine)) == 42
    first.close()
    with schedule():
        enqueue(application)
        wait_for_settled(application.signals, "handlers", 1)
    assert errors == []

"""The end of a scheduler within an asynchronous application, however impatient that is."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from asyncflow import AsyncScheduler
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application

LONG = 60.0


async def test_a_stop_that_is_cancelled_goes_on_to_its_end(sqlite_application: Application) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_application.engine.url.database}")
    may_end, begun, disposed = threading.Event(), threading.Event(), threading.Event()
    scheduler = AsyncScheduler(engine, sqlite_application.outbox, {"kafka": MemoryPublisher()})
    own, stop = scheduler.scheduler.engine, scheduler.scheduler.stop
    event.listen(own, "engine_disposed", lambda _: disposed.set())

    def slow_stop(timeout_seconds: float | None = None) -> bool:
        begun.set()
        assert may_end.wait(LONG)
        return stop(timeout_seconds)

    scheduler.scheduler.stop = slow_stop  # type: ignore[method-assign]
    await scheduler.start()
    stopping = asyncio.ensure_future(scheduler.stop())
    assert await asyncio.to_thread(begun.wait, LONG)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not disposed.is_set()
    may_end.set()
    assert await asyncio.to_thread(disposed.wait, LONG)
    assert scheduler.scheduler.wait(LONG)
    await engine.dispose()


async def test_a_stop_that_is_cancelled_before_a_thread_is_free_for_it_is_done_all_the_same(
    sqlite_application: Application,
) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_application.engine.url.database}")
    scheduler = AsyncScheduler(engine, sqlite_application.outbox, {"kafka": MemoryPublisher()})
    await scheduler.start()
    may_end = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        busy = asyncio.ensure_future(asyncio.to_thread(may_end.wait, LONG))
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(scheduler.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        may_end.set()
        assert await busy
        assert await asyncio.to_thread(scheduler.scheduler.wait, LONG)
    await engine.dispose()

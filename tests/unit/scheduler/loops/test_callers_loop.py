"""Coroutines run on the loop of whoever starts the scheduler, and on one at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from asyncflow.errors import EventLoopError
from asyncflow.scheduler.loops.callers_loop import CallersLoop

LONG = 60.0


@contextmanager
def running() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop that runs on a thread of its own, and is stopped and closed at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(LONG)
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LONG)
        loop.close()


def loop_of_the_next(home: CallersLoop) -> asyncio.AbstractEventLoop:
    """Return the loop on which the next coroutine runs."""
    told: list[asyncio.AbstractEventLoop] = []
    has_run = threading.Event()

    async def tell() -> None:
        told.append(asyncio.get_running_loop())
        has_run.set()

    home.run(tell())
    assert has_run.wait(LONG)
    return told[0]


def test_no_second_loop_is_taken_while_the_first_one_runs() -> None:
    home = CallersLoop()
    with running() as first, running() as second:
        home.use(first)
        home.use(first)
        with pytest.raises(EventLoopError, match="another event loop, which still runs"):
            home.use(second)
        assert loop_of_the_next(home) is first


def test_another_loop_is_taken_when_the_first_one_has_ended() -> None:
    home = CallersLoop()
    with running() as first:
        home.use(first)
    with running() as second:
        home.use(second)
        assert loop_of_the_next(home) is second

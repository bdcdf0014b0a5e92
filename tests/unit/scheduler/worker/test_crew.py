"""The hands of a crew: how they end, whatever becomes of their event loop."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.task import Task
from asyncflow.scheduler.loops.callers_loop import CallersLoop
from asyncflow.scheduler.loops.threads import Threads
from asyncflow.scheduler.worker.attempt import Attempt
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.crew import Crew
from asyncflow.scheduler.worker.handler_call import Tools


class Ends:
    """Have a crew of one hand with some claims, whose coroutine is given; know which attempts have ended, and how."""

    def __init__(self, handler: Callable[[], Awaitable[None]], claims: int) -> None:
        self.seen: list[BaseException | None] = []
        self.loop = CallersLoop()
        self.loop.use(asyncio.get_running_loop())
        kind = HandlerType(name="any", concurrency=1, limit=10, handler=handler)
        source: Any = None
        tools = Tools(source, None, 1000)
        self.crew = Crew(kind, tools, Threads(), self.loop, lambda _, error: self.seen.append(error))
        self.crew.take(_claim() for _ in range(claims))

    def attempt(self) -> Attempt:
        (attempt,) = self.crew.at_work()
        return attempt


def _claim() -> Claim:
    return Claim(Task(uuid4(), "any", 0, None, None, None, 0, 3), uuid4(), None, None, time.monotonic() + 600)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def until(condition: Callable[[], object]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 60)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no task tells there that it was cancelled")
def test_a_hand_whose_loop_ends_takes_no_further_task() -> None:
    async def begin() -> Ends:
        ends = Ends(for_ever, claims=3)
        ends.crew.resume()
        await until(ends.crew.at_work)
        return ends

    ends = asyncio.run(begin())  # which cancels what still runs, and waits for it
    assert [type(error) for error in ends.seen] == [asyncio.CancelledError]
    assert len(ends.crew.waiting()) == 2
    assert ends.crew.at_work() == []


async def test_a_coroutine_that_raises_cancelled_error_by_itself_costs_no_hand() -> None:
    async def await_what_was_cancelled() -> None:
        raise asyncio.CancelledError

    ends = Ends(await_what_was_cancelled, claims=3)
    ends.crew.resume()
    await until(lambda: len(ends.seen) == 3)


async def test_an_attempt_that_is_given_up_is_cancelled_and_its_place_is_another_ones() -> None:
    ends = Ends(for_ever, claims=2)
    ends.crew.resume()
    await until(ends.crew.at_work)
    first = ends.attempt()
    ends.crew.give_up(first)
    await until(lambda: len(ends.seen) == 1 and ends.crew.at_work())
    assert ends.attempt() is not first
    ends.crew.give_up(ends.attempt())
    await until(lambda: len(ends.seen) == 2)


def test_an_attempt_on_a_loop_that_was_closed_amidst_it_can_be_given_up() -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> Ends:
        ends = Ends(for_ever, claims=1)
        ends.crew.resume()
        await until(ends.crew.at_work)
        await asyncio.sleep(0)
        return ends

    ends = loop.run_until_complete(begin())
    left = asyncio.all_tasks(loop)
    loop.close()
    ends.crew.give_up(ends.attempt())
    assert ends.crew.at_work() == []
    for task in left:  # so that nothing is told of them when they go
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        with suppress(RuntimeError):
            task.get_coro().close()

"""What an event loop has done aside: within the caller's context, whichever thread of the process has ended."""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import ContextVar

import pytest

from asyncflow.scheduler.loops.aside import aside
from tests.support.main_thread import run_program

WHO: ContextVar[str] = ContextVar("who")


async def test_it_is_done_on_another_thread_within_the_callers_context() -> None:
    WHO.set("a caller")
    assert await aside(lambda: (WHO.get(), threading.current_thread() is threading.main_thread())) == (
        "a caller",
        False,
    )


async def test_what_it_raises_is_raised_where_it_is_awaited() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await aside(fail)


async def test_as_much_is_done_at_once_as_is_asked_for() -> None:
    together = threading.Barrier(50)
    assert len(await asyncio.gather(*(aside(lambda: together.wait(60)) for _ in range(50)))) == 50


def test_the_child_of_a_fork_has_threads_of_its_own() -> None:
    assert asyncio.run(_done()) == "done"
    child = os.fork()
    if child == 0:
        os._exit(0 if asyncio.run(_done()) == "done" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_is_done_when_the_main_thread_has_ended() -> None:
    program = """
    import asyncio
    from asyncflow.scheduler.loops.aside import aside

    async def done():
        return await aside(lambda: "done")

    def ask():
        assert asyncio.run(done()) == "done"
    """
    assert run_program(program, afterwards="ask") == ("well\n", "", 0)


def test_what_is_not_done_keeps_the_process_from_no_end() -> None:
    program = """
    import asyncio, threading
    from asyncflow.scheduler.loops.aside import aside

    begun = threading.Event()

    def never_ends():
        begun.set()
        threading.Event().wait()

    async def begin():
        aside(never_ends)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    begun.wait(60)
    print("begun", flush=True)
    """
    assert run_program(program) == ("begun\n", "", 0)


async def _done() -> str:
    return await aside(lambda: "done")

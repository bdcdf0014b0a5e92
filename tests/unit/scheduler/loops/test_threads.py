"""Code knows whom it serves, and so does what it hands on to: an end that waits for it is not asked to by it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from asyncflow.scheduler.loops.aside import aside
from asyncflow.scheduler.loops.threads import DaemonExecutor, EventLoop, Threads, serve, serves


def answered(run: Any) -> bool:
    """Return what was found on the thread on which ``run`` runs a function."""
    found, is_there = list[bool](), threading.Event()

    def look(here: bool) -> None:
        found.append(here)
        is_there.set()

    run(look)
    assert is_there.wait(60)
    return found[0]


def test_a_function_serves_the_threads_that_run_it_and_no_others() -> None:
    threads, others = Threads("some"), Threads("others")
    assert answered(lambda tell: threads.run(lambda: tell(threads.is_current())))
    assert not answered(lambda tell: threads.run(lambda: tell(others.is_current())))
    assert not threads.is_current()
    threads.close()


def test_a_context_of_its_own_keeps_that() -> None:
    threads = Threads("some")
    assert answered(
        lambda tell: threads.run(lambda: contextvars.copy_context().run(lambda: tell(threads.is_current())))
    )
    threads.close()


def test_what_a_coroutine_awaits_on_a_thread_serves_its_loop_too() -> None:
    loop = EventLoop()

    async def work(tell: Any, executor: bool) -> None:
        serve(loop)
        look = lambda: tell(serves(loop))  # noqa: E731
        if executor:
            await asyncio.get_running_loop().run_in_executor(None, look)
        else:
            await aside(look)

    for executor in (False, True):
        assert answered(lambda tell, executor=executor: loop.run(work(tell, executor)))
    loop.close()


def test_a_loop_that_a_coroutine_stops_goes_on_and_ends_when_it_is_closed() -> None:
    before = set(threading.enumerate())  # loops of other tests among them
    loop, reached, has_awaited = EventLoop(), threading.Event(), threading.Event()

    async def stops() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        has_awaited.set()

    async def comes_later() -> None:
        reached.set()

    loop.run(stops())
    assert has_awaited.wait(60)
    loop.run(comes_later())
    assert reached.wait(60)
    serving = [one for one in threading.enumerate() if one.name == "asyncflow-coroutines" and one not in before]
    loop.close()
    for thread in serving:
        thread.join(60)
    assert [thread.is_alive() for thread in serving] == [False]


def test_a_loop_for_which_there_was_no_thread_keeps_nothing_and_has_one_when_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, reached = EventLoop(), threading.Event()

    async def work() -> None:
        reached.set()

    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            loop.run(work())
    loop.run(work())
    assert reached.wait(60)
    loop.close()


def no_thread(_: threading.Thread) -> None:
    """Do as the system does that has no more threads to give."""
    raise RuntimeError("can't start new thread")


def test_an_executor_serves_whom_it_was_made_for() -> None:
    whom = object()
    executor = DaemonExecutor("some", 1, whom)
    assert executor.submit(serves, whom).result(60)
    executor.shutdown()

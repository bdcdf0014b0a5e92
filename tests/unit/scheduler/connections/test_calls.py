"""Calls of a database of which nothing comes are ended; user code may take its time between its calls."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.util import await_only, greenlet_spawn

from asyncflow.errors import ConnectionSilentError
from asyncflow.leash import on_leash
from asyncflow.outbox.lines.limits import Limits
from asyncflow.scheduler.connections import calls as module
from asyncflow.scheduler.connections.calls import Patience, TaskCalls, ThreadCalls
from tests.unit.scheduler.waiting import eventually

SOON, LATE, LONG = 0.2, 0.5, 60.0


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMITS", Limits(silence_seconds=SOON))
    monkeypatch.setattr(module, "OF_USERS", Limits(silence_seconds=LATE))
    monkeypatch.setattr(module, "_AGAIN_SECONDS", SOON)


@pytest.fixture
def engine() -> Engine:
    return create_engine("postgresql+psycopg://nobody@localhost/nothing")


def ask(dbapi_connection: socket.socket) -> None:
    """Wait for an answer, as a driver does, whose name for the connection is this one."""
    if not dbapi_connection.recv(1):
        raise OSError("server closed the connection")


class Line:
    """Hold both ends of a line on which nothing is said."""

    def __enter__(self) -> socket.socket:
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(LONG)
        return self.ours

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        self.theirs.close()


def test_a_call_of_our_own_that_is_not_answered_is_ended(engine: Engine) -> None:
    with Line() as line, pytest.raises(ConnectionSilentError) as raised, ThreadCalls(engine):
        ask(line)
    assert isinstance(raised.value.__cause__, OSError)


def test_what_is_tried_after_a_cut_is_ended_as_well(engine: Engine) -> None:
    def work() -> None:
        with ThreadCalls(engine):
            with suppress(OSError):
                ask(first)
            ask(second)

    with Line() as first, Line() as second, pytest.raises(ConnectionSilentError):
        work()


def test_user_code_may_take_its_time_between_its_calls_and_longer_for_them(engine: Engine) -> None:
    def work() -> None:
        with ThreadCalls(engine) as calls, calls.handed_out():
            line.settimeout(4 * SOON)
            with suppress(TimeoutError):
                ask(line)  # which is none that anybody has told of
            line.settimeout(LONG)
            began = time.monotonic()
            calls.begin()
            with suppress(OSError):
                ask(line)
            waited.append(time.monotonic() - began)
            raise LookupError("of the user's")

    waited: list[float] = []
    with Line() as line, pytest.raises(ConnectionSilentError):
        work()
    assert waited[0] >= LATE


def test_what_is_caught_and_mended_is_no_error(engine: Engine) -> None:
    with Line() as line, ThreadCalls(engine) as calls:
        with pytest.raises(OSError, match="closed"):
            ask(line)
        eventually(lambda: calls.was_cut)  # which is noted when what was waited for has ended


def test_who_is_in_haste_waits_no_longer_for_user_code_than_for_our_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OF_USERS", Limits(silence_seconds=LONG))

    def work() -> None:
        with ThreadCalls(engine) as calls, calls.handed_out():
            calls.begin()
            threading.Timer(SOON, calls.hasten).start()
            ask(line)

    with Line() as line, pytest.raises(ConnectionSilentError):
        work()


def test_a_file_is_never_silent() -> None:
    with Line() as line, ThreadCalls(create_engine("sqlite://")):
        line.settimeout(4 * SOON)
        with pytest.raises(TimeoutError):
            ask(line)


def test_what_was_cut_is_given_twice_the_time_for_a_while() -> None:
    now = 0.0
    patience, given = Patience(lambda: now), list[float]()
    for _ in range(6):
        given.append(patience.seconds / LATE)
        patience.note_cut()
    assert given == [1, 2, 4, 8, 16, 16]
    now = 601.0
    assert patience.seconds == LATE


# -- on an event loop ------------------------------------------------------------------------------------------


async def database(seconds: float) -> None:
    """Wait for a driver within SQLAlchemy."""
    await greenlet_spawn(lambda: await_only(asyncio.sleep(seconds)))


def in_task(engine: Engine, work: Callable[[TaskCalls], Any], patience: Patience | None = None) -> None:
    async def run() -> None:
        with TaskCalls(engine, patience) as calls:
            await work(calls)

    asyncio.run(asyncio.wait_for(run(), LONG))


def test_an_await_of_our_own_that_is_not_answered_is_ended(engine: Engine) -> None:
    with pytest.raises(ConnectionSilentError):
        in_task(engine, lambda _: asyncio.sleep(LONG))


def test_a_coroutine_is_cancelled_where_it_waits_for_its_database_and_nowhere_else(engine: Engine) -> None:
    patience, waited = Patience(), list[str]()

    async def handler(calls: TaskCalls) -> None:
        calls.begin()
        await asyncio.sleep(2 * LATE)  # it was answered with an error, of which nobody tells
        waited.append("for another thing")
        await database(LONG)

    async def work(calls: TaskCalls) -> None:
        with calls.handed_out():
            await on_leash(handler(calls))

    with pytest.raises(ConnectionSilentError):
        in_task(engine, work, patience)
    assert waited == ["for another thing"]
    assert patience.seconds >= 2 * LATE


def test_what_catches_its_cancellation_is_cancelled_again(engine: Engine) -> None:
    async def stubborn(_: TaskCalls) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)
        await asyncio.sleep(LONG)

    with pytest.raises(ConnectionSilentError):
        in_task(engine, stubborn)


def test_a_cancellation_by_others_stays_one(engine: Engine) -> None:
    async def run() -> None:
        with TaskCalls(engine) as calls, calls.handed_out():
            await asyncio.sleep(LONG)

    async def cancel() -> None:
        task = asyncio.ensure_future(run())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())

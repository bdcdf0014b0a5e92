"""Of a thread that waits for a database nothing is shut down but the line on which it waits."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asyncflow.outbox.lines import driver_sockets
from asyncflow.outbox.lines.kernel_waits import KernelWait
from tests.unit.outbox.lines.test_kernel_waits import pytestmark as only_where_the_kernel_tells
from tests.unit.scheduler.waiting import eventually

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def lines() -> Iterator[tuple[Pair, Pair]]:
    first, second = socket.socketpair(), socket.socketpair()
    yield first, second
    for one in (*first, *second):
        one.close()


def driver() -> Callable[[socket.socket], bytes]:
    """Return a call of a driver that waits within C, as its module is named."""
    module: dict[str, Any] = {"__name__": "psycopg2"}
    exec("def connect(line):\n    return line.recv(1)", module)
    call: Callable[[socket.socket], bytes] = module["connect"]
    return call


def started(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def waits_for(thread: threading.Thread, line: socket.socket) -> None:
    eventually(lambda: KernelWait(thread.ident or 0).fileno() == line.fileno())


@only_where_the_kernel_tells
def test_what_a_thread_waits_for_within_a_driver_is_shut_down(lines: tuple[Pair, Pair]) -> None:
    (ours, _), _ = lines
    heard: list[bytes] = []
    thread = started(lambda: heard.append(driver()(ours)))
    waits_for(thread, ours)
    assert driver_sockets.cut_lines_of(thread)
    thread.join(60)
    assert heard == [b""]


@only_where_the_kernel_tells
@pytest.mark.parametrize("when", ["before it is in hand", "once it is in hand"])
def test_what_a_thread_waits_for_after_its_call_was_answered_is_left_alone(
    when: str, lines: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    (ours, theirs), (its_next, of_others) = lines
    heard: list[bytes] = []

    def work() -> None:
        heard.append(driver()(ours))
        heard.append(its_next.recv(1))

    def let_it_go_on() -> None:
        theirs.send(b"x")
        waits_for(thread, its_next)

    def asked(candidate: Any) -> socket.socket | None:
        if when == "before it is in hand":
            let_it_go_on()
        line = socket_of(candidate)
        if when == "once it is in hand":
            let_it_go_on()
        return line

    socket_of = driver_sockets.socket_of
    monkeypatch.setattr(driver_sockets, "socket_of", asked)
    thread = started(work)
    waits_for(thread, ours)
    assert not driver_sockets.cut_lines_of(thread)
    of_others.send(b"y")
    thread.join(60)
    assert heard == [b"x", b"y"]
    theirs.send(b"z")
    assert ours.recv(1) == b"z"


@only_where_the_kernel_tells
def test_of_a_thread_that_has_ended_nothing_is_shut_down_though_another_has_its_number(
    lines: tuple[Pair, Pair],
) -> None:
    (ours, theirs), _ = lines
    heard: list[bytes] = []
    thread = started(lambda: heard.append(driver()(ours)))
    waits_for(thread, ours)
    ended = started(lambda: None)
    ended.join(60)
    ended._ident = thread.ident  # type: ignore[attr-defined]
    assert not driver_sockets.cut_lines_of(ended)
    theirs.send(b"x")
    thread.join(60)
    assert heard == [b"x"]


def test_a_file_that_is_no_socket_is_left_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[int] = []

    def copied(number: int) -> int:
        copies.append(dup(number))
        return copies[-1]

    dup = os.dup
    monkeypatch.setattr(os, "dup", copied)
    ends = os.pipe()
    try:
        assert driver_sockets.socket_of(ends[0]) is None
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(copies[0])
    finally:
        for end in ends:
            os.close(end)

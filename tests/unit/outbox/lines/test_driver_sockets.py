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
from asyncflow.outbox.lines.line import Line
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


class Kept:
    """Keep what it is given by names, as a driver's connection keeps its socket."""

    def __init__(self, **kept: Any) -> None:
        vars(self).update(kept)


@pytest.mark.parametrize(
    "kept",
    [
        lambda line: Kept(_sock=line),  # PyMySQL
        lambda line: Kept(_socket=Kept(sock=line)),  # mysql-connector
        lambda line: Kept(_usock=line, _sock=line.makefile("rwb")),  # pg8000
        lambda line: Kept(fileno=line.fileno),  # psycopg, psycopg2, mysqlclient
    ],
    ids=["pymysql", "mysql-connector", "pg8000", "psycopg"],
)
def test_a_socket_is_found_where_each_driver_keeps_it(
    kept: Callable[[socket.socket], Any], lines: tuple[Pair, Pair]
) -> None:
    (ours, theirs), _ = lines
    found = driver_sockets.socket_of(kept(ours))
    assert found is not None
    with found:
        found.shutdown(socket.SHUT_RDWR)
    assert theirs.recv(1) == b""


def hiding() -> Any:
    """Return a connection of the class that tells its socket to nobody, by its module's name."""
    module: dict[str, Any] = {"__name__": "mysql.connector.connection_cext"}
    exec("class CMySQLConnection:\n    def query(self, line):\n        return line.recv(1)", module)
    return module["CMySQLConnection"]()


@only_where_the_kernel_tells
def test_a_line_whose_socket_nobody_tells_is_cut_where_its_thread_waits(lines: tuple[Pair, Pair]) -> None:
    (ours, _), _ = lines
    connection = hiding()
    heard: list[bytes] = []
    cut: list[bool] = []

    def work() -> None:
        line = Line(connection)
        with line.within(0.2):
            heard.append(connection.query(ours))
        line.close()
        cut.append(line.was_cut)

    started(work).join(60)
    assert (heard, cut) == ([b""], [True])


@only_where_the_kernel_tells
def test_a_line_whose_socket_nobody_tells_is_left_alone_between_the_calls_of_its_driver(
    lines: tuple[Pair, Pair],
) -> None:
    (ours, theirs), _ = lines
    made: list[Line] = []
    heard: list[bytes] = []

    def work() -> None:
        made.append(Line(hiding()))
        with made[0].within(0.0):
            heard.append(ours.recv(1))
        made[0].close()

    thread = started(work)
    waits_for(thread, ours)
    made[0].cut_if_late(float("inf"))
    theirs.send(b"x")
    thread.join(60)
    assert (heard, made[0].was_cut) == ([b"x"], False)

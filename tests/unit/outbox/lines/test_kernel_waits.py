"""What a thread waits for, as the kernel tells it: where a driver connects inside C, nothing else does."""

from __future__ import annotations

import platform
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from asyncflow.outbox.lines.kernel_waits import KernelWait
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="only Linux tells, as known here"
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    for one in (ours, theirs):
        one.close()


def waiting(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def wait_of(thread: threading.Thread) -> KernelWait:
    assert thread.ident is not None
    return KernelWait(thread.ident)


def test_a_thread_waits_for_the_socket_from_which_it_reads(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    thread = waiting(lambda: ours.recv(1))
    wait = wait_of(thread)
    eventually(lambda: wait.fileno() == ours.fileno())
    theirs.send(b"x")
    thread.join(60)
    assert wait.fileno() == -1


def test_a_thread_waits_for_the_first_of_those_that_it_polls(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    asked = select.poll()
    asked.register(ours, select.POLLIN)
    thread = waiting(lambda: asked.poll(60_000))
    eventually(lambda: wait_of(thread).fileno() == ours.fileno())
    theirs.send(b"x")
    thread.join(60)


def test_a_thread_that_waits_for_no_file_is_left_alone() -> None:
    over = threading.Event()
    thread = waiting(over.wait)
    assert wait_of(thread).fileno() == -1
    over.set()
    thread.join(60)


def test_of_a_thread_that_is_unknown_nothing_is_told() -> None:
    assert KernelWait(0).fileno() == -1

"""The servers of a process keep no port in its forks, no client holds them, and who hangs up disturbs no log."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox
from asyncflow.commands.processes.health import HealthServer
from asyncflow.events import Hooks
from asyncflow.integrations.prometheus import MetricsServer
from asyncflow.listeners import MOST_CLIENTS
from tests.unit.scheduler.waiting import eventually


class Well:
    """Be the health of a scheduler that is well; tells it when it may."""

    def __init__(self) -> None:
        self.is_asked, self.may_tell = threading.Event(), threading.Event()

    def faults_apart(self) -> dict[str, str]:
        return {}

    def fault_of_life(self) -> str | None:
        self.is_asked.set()
        self.may_tell.wait(60)
        return None

    def fault_of_readiness(self) -> str | None:
        raise ValueError("a fault of ours")


def health_at(port: int) -> Any:
    return HealthServer(Well(), port)  # type: ignore[arg-type]


def metrics_at(port: int) -> Any:
    scheduler: Any = SimpleNamespace(
        engine=create_engine("sqlite://"), outbox=Outbox(MetaData()), hooks=Hooks([]), databases=()
    )
    return MetricsServer(scheduler, port)


@pytest.mark.parametrize("serving_at", [health_at, metrics_at])
def test_a_child_that_outlives_its_parent_keeps_no_port(serving_at: Callable[[int], Any]) -> None:
    (going, end), (told, telling) = os.pipe(), os.pipe()
    with serving_at(0) as server:
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os.close(end)
            os.write(telling, b"1")
            os.read(going, 1)
            os._exit(0)
        assert os.read(told, 1) == b"1"
        port = server.port
    try:
        serving_at(port).close()
    finally:
        os.close(end)
        os.waitpid(child, 0)
        for one in (going, told, telling):
            os.close(one)


@pytest.mark.parametrize("serving_at", [health_at, metrics_at])
def test_clients_that_say_nothing_hold_neither_threads_nor_files_nor_the_answer(
    serving_at: Callable[[int], Any],
) -> None:
    with serving_at(0) as server, ExitStack() as until:
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        idle = [until.enter_context(socket.create_connection(("127.0.0.1", server.port), 60)) for _ in range(200)]
        for client in idle[::2]:
            with suppress(OSError):  # it made room
                client.sendall(b"GET /none HTTP/1.1\r\nX")
        assert answer_of(server, "GET", "/none")[0][0] in (200, 404)
        assert threading.active_count() - threads <= 2 * MOST_CLIENTS
        assert len(os.listdir("/proc/self/fd")) - files - len(idle) <= 2 * MOST_CLIENTS


def test_who_has_asked_does_not_make_room_for_who_says_nothing() -> None:
    well: Any = Well()
    with HealthServer(well, 0) as server, ExitStack() as until:
        address = ("127.0.0.1", server.port)
        asking = until.enter_context(socket.create_connection(address, 60))
        asking.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert well.is_asked.wait(60)
        idle = [until.enter_context(socket.create_connection(address, 60)) for _ in range(2 * MOST_CLIENTS)]
        assert idle[0].recv(1) == b""
        well.may_tell.set()
        assert asking.recv(12) == b"HTTP/1.0 200"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_the_health_is_told_by_ipv6() -> None:
    well: Any = Well()
    well.may_tell.set()
    with HealthServer(well, 0, "::1") as server, socket.create_connection(("::1", server.port), 60) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.0 200"


def served(server: HealthServer, path: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Ask for a path, hang up without waiting for the answer, and wait for the end of the request."""
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    meanwhile()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def no_request_is_served() -> bool:
    return not any("process_request" in thread.name for thread in threading.enumerate())


def written(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines on standard error that are not of Kafka's client, of which an earlier test may have left one."""
    return [line for line in capfd.readouterr().err.splitlines() if not line.startswith("%")]


def test_a_client_that_hangs_up_is_no_fault(capfd: pytest.CaptureFixture[str]) -> None:
    well: Any = Well()
    with HealthServer(well, 0) as server:
        served(server, "/healthz", lambda: well.is_asked.wait(60))
        well.may_tell.set()
        eventually(no_request_is_served)
    assert written(capfd) == []


@pytest.mark.parametrize(("path", "code"), [("/healthz", 200), ("/none", 404)])
def test_head_is_answered_as_get_is_without_a_body(path: str, code: int) -> None:
    well: Any = Well()
    well.may_tell.set()
    with HealthServer(well, 0) as server:
        answers = [answer_of(server, method, path) for method in ("GET", "HEAD")]
    (got, body), (head, nothing) = answers
    assert got[0] == head[0] == code
    assert got[1] == head[1] == str(len(body))
    assert nothing == b""


def test_the_metrics_port_answers_head_as_get_without_the_page() -> None:
    with metrics_at(0) as server:
        (got, page), (head, nothing) = (answer_of(server, method, "/metrics") for method in ("GET", "HEAD"))
    assert (got, head) == ((200, None), (200, None))
    assert b"asyncflow_look_failed" in page
    assert nothing == b""


def answer_of(server: Any, method: str, path: str) -> tuple[tuple[int, str | None], bytes]:
    """Return the status, the length that is told, and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path)
    answer = connection.getresponse()
    told = (answer.status, answer.getheader("Content-Length")), answer.read()
    connection.close()
    return told


def test_a_fault_of_ours_is_told_in_the_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    well: Any = Well()
    with HealthServer(well, 0) as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
        assert client.recv(1) == b""
        client.close()
        eventually(no_request_is_served)
    assert written(capfd) == []
    assert "a fault of ours" in caplog.text

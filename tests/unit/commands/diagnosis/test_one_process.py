"""``asyncflow doctor --process`` asks one process, hears what it says of itself, and does not wait for more."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from asyncflow import cli
from asyncflow.commands.diagnosis import doctor, one_process
from asyncflow.commands.processes.health import HealthServer

PATIENCE_SECONDS = 60.0  # a machine may stall
ask_process = partial(one_process.ask_process, patience_seconds=PATIENCE_SECONDS)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ask_process", ask_process)


class Told:
    """Be the health of a scheduler."""

    def __init__(self, fault: str | None = None, **apart: str) -> None:
        self.fault, self.apart = fault, apart

    def faults_apart(self) -> dict[str, str]:
        return self.apart

    def fault_of_life(self) -> str | None:
        return None

    def fault_of_readiness(self) -> str | None:
        return self.fault


@contextmanager
def scheduler(fault: str | None = None, **apart: str) -> Iterator[str]:
    health: Any = Told(fault, **apart)
    with HealthServer(health, 0) as server:
        yield f"http://127.0.0.1:{server.port}"


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen where each that calls is answered by a function."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                with server.accept()[0] as client:
                    answer(client)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def says(status: str, body: bytes) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return answer


def drip(client: socket.socket) -> None:
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    with suppress(OSError):
        while True:
            client.sendall(b" ")
            time.sleep(0.05)


def test_a_process_at_work_is_well_and_one_that_is_not_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A database, or a proxy, that the environment names, is none of its business.
    monkeypatch.setenv("ASYNCFLOW_DATABASE_URL", "postgresql://nowhere")
    monkeypatch.setenv("ASYNCFLOW_DATABASES", "/no/such/file.toml")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with scheduler() as url:
        assert cli.main(["doctor", "--process", url]) == 0
        assert capsys.readouterr().out == f"the process at {url} is at work\n"
    with scheduler("the database does not answer: \x1b[2JOperationalError") as url:
        assert cli.main(["doctor", "--process", url]) == 1
        reason = "the database does not answer: \\x1b[2JOperationalError"
        assert capsys.readouterr().out == f"the process at {url} is not at work: {reason}\n"
        assert cli.main(["doctor", "--process", url, "--language", "zh"]) == 1
        assert capsys.readouterr().out.startswith(f"{url} 的进程不在工作")


def test_of_several_databases_those_are_told_in_which_it_is_not_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    with scheduler(db1="its leases have run out") as url:
        assert cli.main(["doctor", "--process", url]) == 0
        assert "    not at work in the database db1: its leases have run out\n" in capsys.readouterr().out
        assert cli.main(["doctor", "--process", url, "--json"]) == 0
        told = {"is_at_work": True, "reason": None, "databases": {"db1": "its leases have run out"}}
        assert json.loads(capsys.readouterr().out) == told


def test_a_task_service_is_heard_too() -> None:
    with listening(says("200 OK", b'{"status":"ready"}')) as url:
        assert ask_process(f"{url}/behind/a/proxy/").reason is None
    problem = b'{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"there are no tables"}'
    with listening(says("503 Service Unavailable", problem)) as url:
        assert ask_process(url).reason == "there are no tables"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"null", b"\xff"])
def test_another_server_at_the_port_is_no_scheduler_that_is_well(body: bytes) -> None:
    with listening(says("200 OK", body)) as url:
        assert "as none of ours does" in str(ask_process(url).reason)


def test_a_process_that_is_gone_or_silent_or_never_ends_its_answer_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert str(ask_process(f"http://127.0.0.1:{port}").reason).startswith("no answer: ")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert ask_process(url, patience_seconds=0.2).reason == "no answer within 0.2 s"
    with listening(drip) as url:
        assert ask_process(url, patience_seconds=0.2).reason == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--process", "8081"], "give the address of its health port: http://127.0.0.1:8081"),
        (["--process", "ftp://127.0.0.1"], "give the address of its health port"),
        (["--process", "http://127.0.0.1:99999"], "give the address of its health port"),
        (["--process", "http://[::1"], "give the address of its health port"),
        (["--process", "http://127.0.0.1:8081/readyz"], "give the address alone"),
        (["--process", "http://127.0.0.1", "app:scheduler"], "leave out module:attribute"),
        (["--process", "http://127.0.0.1", "--database-url", "sqlite://"], "leave out --database-url"),
        (["--process", "http://127.0.0.1", "--databases", "some.toml"], "leave out --databases"),
        (["--process", "http://127.0.0.1", "--stuck-seconds", "5"], "leave out --stuck-seconds"),
    ],
)
def test_what_asks_no_process_or_a_database_too_is_wrong_usage(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", *arguments]) == 2
    assert told in capsys.readouterr().err

"""What strangers, and clients that are slow or gone, cost the service: next to nothing, and nothing is written."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncflow import cli
from tests.integration.integrations.flowsvr.process import SECRET, TOKENS, Process, answer_on
from tests.unit.scheduler.waiting import eventually

Serve = Callable[..., Process]
BEARER = f"Authorization: Bearer {SECRET}\r\n"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a service on an empty SQLite database; end it with the test."""
    url = f"sqlite:///{tmp_path}/service.db"
    assert cli.main(["init-db", "--database-url", url]) == 0
    started: list[Process] = []

    def begin(*options: str, **more: Any) -> Process:
        started.append(Process(tmp_path, url, *options, **more))
        eventually(started[-1].is_up)
        return started[-1]

    yield begin
    for process in started:
        process.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Give one service with its defaults to several tests."""
    directory = tmp_path_factory.mktemp("shared")
    url = f"sqlite:///{directory}/service.db"
    assert cli.main(["init-db", "--database-url", url]) == 0
    process = Process(directory, url)
    try:
        eventually(process.is_up)
        yield process
    finally:
        process.end()


def create(rest: str, token: str = BEARER) -> bytes:
    head = f"POST /v2/tasks HTTP/1.1\r\nHost: a\r\n{token}Content-Type: application/json\r\n"
    return (head + rest).encode()


def tasks_of(process: Process) -> list[Any]:
    listed: list[Any] = process.client.get("/v2/tasks").json()["tasks"]
    return listed


BODY = json.dumps({"task_type": "mail"})


@pytest.mark.parametrize(
    "rest",
    [
        f"Content-Length: {len(BODY) + 7}\r\n\r\n{BODY}",
        f"Transfer-Encoding: chunked\r\n\r\n{len(BODY):x}\r\n{BODY}\r\n",
        f"Transfer-Encoding: chunked\r\n\r\n{len(BODY):x}\r\n{BODY}\r\nzz\r\n",
    ],
    ids=["shorter than it says", "without its last chunk", "with a chunk that is none"],
)
def test_a_request_that_does_not_come_in_whole_does_nothing(shared: Process, rest: str) -> None:
    before = len(tasks_of(shared))
    with shared.connect() as connection:
        connection.sendall(create(rest))
        connection.shutdown(socket.SHUT_WR)
        answer_on(connection)
    assert b" 201 " in shared.ask(create(f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n{BODY}"))
    assert len(tasks_of(shared)) == before + 1


@pytest.mark.parametrize("path", ["/healthz", "/none", "/v2/tasks"])
def test_what_ends_as_no_http_is_left_without_a_word_in_the_log(shared: Process, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with shared.connect() as connection:
        connection.sendall(head + b"zz\r\n")  # before its application has begun
        answer_on(connection)
    with shared.connect() as connection:
        connection.sendall(head)
        assert b" 40" in answer_on(connection)
        with contextlib.suppress(OSError):
            connection.sendall(b"zz\r\n")  # when it was answered
            answer_on(connection)
    hold = json.dumps({"worker": "w", "limits": {"mail": 1}, "wait_seconds": 20})
    ask = f"POST /v2/tasks/hold HTTP/1.1\r\nHost: a\r\n{BEARER}Content-Type: application/json\r\n"
    with shared.connect() as connection:
        connection.sendall(f"{ask}Content-Length: {len(hold)}\r\n\r\n{hold}".encode() + b"\0\r\n\r\n")
    assert shared.is_up()
    log = shared.log.read_text()
    assert "Traceback" not in log
    assert "Fatal" not in log


def test_a_body_with_two_lengths_is_refused(shared: Process) -> None:
    text = f"Transfer-Encoding: chunked\r\nContent-Length: {len(BODY)}\r\n\r\n{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
    assert b" 400 " in shared.ask(create(text))


def test_who_asks_for_the_health_by_head_is_answered_without_a_body(shared: Process) -> None:
    for path in ("/healthz", "/readyz"):
        told = shared.ask(f"HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, _, body = told.partition(b"\r\n\r\n")
        assert b" 200 " in head, told
        assert body == b""


def test_a_stranger_is_refused_before_the_body_is_read(shared: Process) -> None:
    with shared.connect() as connection:
        connection.sendall(create("Content-Length: 8000000\r\n\r\n[", token=""))
        assert b" 401 " in answer_on(connection)
    with shared.connect() as connection:
        connection.sendall(
            create("Content-Length: 8000000\r\n\r\n[", token="Authorization: Bearer not-a-known-one\r\n")
        )
        assert b" 401 " in answer_on(connection)


def test_who_takes_too_long_to_ask_or_to_send_is_cut_off(serve: Serve) -> None:
    process = serve("--header-timeout-seconds", "0.5", "--body-timeout-seconds", "0.5")
    with process.connect() as silent, process.connect() as drips:
        drips.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        # Who connects and then has no turn for so long is not even asked what it wants.
        eventually(lambda: b" 408 " in process.ask(create("Content-Length: 100\r\n\r\n{")))
        for _ in range(100):
            with contextlib.suppress(OSError):
                drips.sendall(b"x: y\r\n")
            time.sleep(0.02)
        assert answer_on(drips) == b""
        assert answer_on(silent) == b""
    found: list[Any] = []

    def is_told() -> bool:
        with contextlib.suppress(httpx.TransportError):  # we are under the same limit
            found.append(tasks_of(process))
        return bool(found)

    eventually(is_told)
    assert found == [[]]


def test_idle_connections_make_room_and_no_file_limit_is_met(serve: Serve) -> None:
    process = serve(files=256)
    idle = []
    try:
        for _ in range(400):
            idle.append(process.connect())
        began = time.monotonic()
        assert b" 200 " in process.ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert time.monotonic() - began < 60
        assert b" 201 " in process.ask(create(f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n{BODY}"))
        assert len(os.listdir(f"/proc/{process.popen.pid}/fd")) < 256
    finally:
        for one in idle:
            one.close()
    log = process.log.read_text()
    assert "ulimit -n" in log
    assert "Traceback" not in log
    assert len(log) < 20_000


def test_when_all_connections_are_at_work_another_is_told_so(serve: Serve) -> None:
    process = serve("--max-connections", "3")
    process.client.close()
    hold = json.dumps({"worker": "w", "limits": {"mail": 1}, "wait_seconds": 20})
    ask = f"POST /v2/tasks/hold HTTP/1.1\r\nHost: a\r\n{BEARER}Content-Type: application/json\r\n"
    holding: list[socket.socket] = []

    def is_full() -> bool:
        return b" 503 " in process.ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    def is_full_of_holds() -> bool:
        # The first ones may have to make room, as long as they have not asked for anything.
        holding.append(process.connect())
        holding[-1].sendall(f"{ask}Content-Length: {len(hold)}\r\n\r\n{hold}".encode())
        return is_full()

    eventually(is_full_of_holds, 60)
    for one in holding:
        one.close()
    eventually(lambda: not is_full(), 60)


def test_a_flood_of_wrong_tokens_is_counted_and_slowed_and_does_not_fill_the_log(shared: Process) -> None:
    began = time.monotonic()
    for _ in range(25):
        assert b" 401 " in shared.ask(create("Content-Length: 0\r\nConnection: close\r\n\r\n", token=""))
    assert time.monotonic() - began > 1
    log = shared.log.read_text()
    assert "without a known token" in log
    assert log.count(" 401 ") == 0


def test_sighup_reads_the_tokens_anew_and_keeps_the_old_ones_if_they_are_at_fault(serve: Serve) -> None:
    process = serve()
    other = "another-secret-of-some-length"
    process.tokens.write_text(process.tokens.read_text().replace(SECRET, other))

    def status_with(secret: str) -> int:
        return process.client.get("/v2/counts", headers={"Authorization": f"Bearer {secret}"}).status_code

    assert (status_with(SECRET), status_with(other)) == (200, 401)
    process.popen.send_signal(signal.SIGHUP)
    eventually(lambda: (status_with(SECRET), status_with(other)) == (401, 200), 60)
    process.tokens.write_text("[[tokens]]\nname = ")
    process.popen.send_signal(signal.SIGHUP)
    eventually(lambda: "the tokens stay" in process.log.read_text(), 60)
    assert status_with(other) == 200


def test_without_tokens_only_this_machines_names_are_answered(serve: Serve) -> None:
    process = serve("--insecure-no-auth")

    def status(headers: str, path: str = "/v2/counts") -> bytes:
        return process.ask(f"GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode()).split()[1]

    for name in ("127.0.0.1:1", "localhost", "[::1]:80", "127.8.9.1"):
        assert status(f"Host: {name}\r\n") == b"200"
    for name in ("evil.example", "127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        assert status(f"Host: {name}\r\n") == b"403", name
    assert status("Host: localhost\r\nOrigin: http://evil.example\r\n") == b"403"
    assert status("Host: localhost\r\n", "/v2/counts/") == b"404"  # and no redirect to where Host leads


@pytest.mark.parametrize("host", ["127.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "evil.example"])
def test_no_other_host_passes_for_this_machine(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--database-url", "sqlite://", "--insecure-no-auth", "--host", host]) == 1
    assert "lets anybody" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "[::g]"])
def test_a_host_that_is_none_is_refused_by_name(host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tokens.toml").write_text(TOKENS)
    options = ["--database-url", "sqlite://", "--tokens", str(tmp_path / "tokens.toml"), "--host", host]
    assert cli.main(["serve", *options]) == 1
    assert f"--host is {host.strip('[]')!r}: " in capsys.readouterr().err


def test_a_service_in_the_open_warns_that_tokens_travel_in_plain_text(serve: Serve) -> None:
    assert "encryption" in serve("--host", "0.0.0.0").log.read_text()

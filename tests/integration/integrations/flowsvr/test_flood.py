"""The service under a bounded flood: it stays small, and tells at once that it is up."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncflow import cli
from tests.integration.integrations.flowsvr.process import SECRET, TOKENS, Process, answer_on
from tests.unit.scheduler.waiting import eventually

OTHER = "another-secret-of-some-length"
BEARER, OTHERS = (f"Authorization: Bearer {secret}\r\n" for secret in (SECRET, OTHER))
JSON = "Content-Type: application/json\r\n"
IDLE, SLOW, HOLDS, LARGE = 1000, 100, 500, 40
MANY = b'{"task_type": "mail", "tasks": [' + b"{}," * 2_600_000 + b"{}]}"
WIDE = json.dumps({"task_type": "mail", "tasks": [{"arguments": {"x": "y" * 900_000}}] * 8}).encode()
MOST_MEGABYTES, MOST_SECONDS = 400, 0.5


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    url = f"sqlite:///{tmp_path}/service.db"
    assert cli.main(["init-db", "--database-url", url]) == 0
    started = Process(tmp_path, url, tokens=TOKENS + TOKENS.replace(SECRET, OTHER).replace("all", "other"))
    try:
        eventually(started.is_up)
        yield started
    finally:
        started.end()


def request(path: str, body: bytes, *, token: str = BEARER, length: int | None = None) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{token}{JSON}Content-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


# In a process of its own: the flood's is busy. Prints how long each look took until it was answered, less the time in
# which this process had no turn itself; where the service is crowded it may end a connection that is new, and the look
# is made again.
LOOK = """
import sys, time, socket, threading
late = 0.0
def be_late():
    global late
    while True:
        began = time.monotonic()
        time.sleep(0.005)
        late += time.monotonic() - began - 0.005
threading.Thread(target=be_late, daemon=True).start()
def is_up():
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
            return b" 200 " in connection.recv(65536)
    except OSError:
        return False
while True:
    began, before = time.monotonic(), late
    while not is_up():
        time.sleep(0.01)
    took = time.monotonic() - began
    time.sleep(0.1)
    print(max(0.0, took - (late - before)), flush=True)
"""


@contextlib.contextmanager
def looking(process: Process, seconds: list[float]) -> Iterator[None]:
    """Look whether the service is up, again and again; tell how long that took."""
    looker = subprocess.Popen([sys.executable, "-c", LOOK, str(process.port)], stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        looker.kill()
        seconds += map(float, looker.communicate()[0].splitlines())


def test_under_a_flood_the_service_stays_small_and_says_that_it_is_up(process: Process) -> None:
    seconds: list[float] = []
    told: Counter[bytes] = Counter()
    megabytes = [0]
    with looking(process, seconds), contextlib.ExitStack() as stack:
        hold = json.dumps({"worker": "w", "limits": {"mail": 1}, "wait_seconds": 15}).encode()
        for _ in range(HOLDS):
            stack.enter_context(process.connect()).sendall(request("/v2/tasks/hold", hold))
        for number in range(SLOW):
            connection = stack.enter_context(process.connect())
            token = BEARER if number % 2 else ""
            with contextlib.suppress(OSError):  # strangers are sent away amidst it
                connection.sendall(request("/v2/tasks", b" " * 300_000, token=token, length=8_000_000))
        for _ in range(IDLE):
            stack.enter_context(process.connect())
        for number in range(LARGE):
            with process.connect() as connection:
                with contextlib.suppress(OSError):
                    token = OTHERS if number % 4 else ""
                    connection.sendall(request("/v2/tasks/bulk", MANY if number % 2 else WIDE, token=token))
                told[answer_on(connection)[9:12]] += 1
            megabytes.append(process.rss())
    print(max(megabytes), sorted(seconds)[-8:], len(seconds), told, os.getloadavg())
    assert max(megabytes) < MOST_MEGABYTES
    assert len(seconds) > 5
    assert max(seconds) < MOST_SECONDS * max(1.0, os.getloadavg()[0]), sorted(seconds)[-5:]
    assert told[b"413"]
    assert set(told) <= {b"413", b"201", b"401", b"503", b""}, told
    assert len(process.log.read_text()) < 100_000


READERS = 120  # who take on nothing of pages of 4 MB


@pytest.mark.long
def test_large_pages_that_nobody_takes_on_are_not_kept(process: Process) -> None:
    task = {"task_type": "mail", "arguments": {"x": "y" * 500_000}}
    for _ in range(8):
        assert process.client.post("/v2/tasks", json=task).status_code == 201
    ask = f"GET /v1/get_task_list?task_type=mail HTTP/1.1\r\nHost: a\r\n{BEARER}\r\n".encode()
    with contextlib.ExitStack() as until:
        for _ in range(READERS):
            reader = until.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", process.port))
            reader.sendall(ask)
        eventually(lambda: process.log.read_text().count("/v1/get_task_list") >= READERS / 2, 120)
        assert process.rss() < MOST_MEGABYTES
    eventually(lambda: process.client.get("/v2/counts").status_code == 200, 60)
    assert process.rss() < MOST_MEGABYTES

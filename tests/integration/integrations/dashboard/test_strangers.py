"""What strangers cost a dashboard that stands alone: next to nothing, and its log stays short."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from asyncflow.integrations.dashboard.door.passwords import PasswordHash
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

FILES = 256
USERS = '[[users]]\nname = "maria"\nrole = "admin"\nscrypt = "{}"\n'


class Alone(NamedTuple):
    """Be ``asyncflow dashboard`` in a process of its own, which may open few files."""

    port: int
    log: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=120)


@contextmanager
def alone(application: Application, directory: Path) -> Iterator[Alone]:
    url, log = application.engine.url.render_as_string(hide_password=False), directory / "log"
    command = [sys.executable, "-m", "asyncflow.cli", "dashboard", "--port", "0", "--database-url", url]
    users = directory / "users.toml"
    users.write_text(USERS.format(PasswordHash.of("a-password-of-some-length").text))
    command += ["--users", str(users)]

    def be_short_of_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))

    users.chmod(0o600)
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file, env=os.environ, preexec_fn=be_short_of_files)
    try:
        eventually(lambda: bool(re.search(r"http://[\d.]+:(\d+)/", log.read_text())))
        found = re.search(r"http://[\d.]+:(\d+)/", log.read_text())
        assert found is not None
        yield Alone(int(found[1]), log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        finally:
            process.kill()


@pytest.fixture
def dashboard(sqlite_application: Application, tmp_path: Path) -> Iterator[Alone]:
    with alone(sqlite_application, tmp_path) as served:
        yield served


def test_connections_that_say_nothing_make_room_and_no_file_limit_is_met(dashboard: Alone) -> None:
    form = b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 9\r\n\r\nname="
    with ExitStack() as until:
        for number in range(2 * FILES):
            client = until.enter_context(dashboard.connect())
            if number % 2:
                client.sendall(form[: number % len(form)])
        answer = httpx.get(f"http://127.0.0.1:{dashboard.port}/", timeout=60)
    assert answer.status_code == 303
    assert dashboard.log.stat().st_size < 2000


def test_who_leaves_before_its_form_is_whole_is_no_fault_of_ours(dashboard: Alone) -> None:
    head = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 90\r\n"
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    for _ in range(3):
        with dashboard.connect() as client:
            client.sendall(f"{head}{kind}\r\nname=".encode())
    assert httpx.get(f"http://127.0.0.1:{dashboard.port}/", timeout=60).status_code == 303
    assert "Traceback" not in dashboard.log.read_text()

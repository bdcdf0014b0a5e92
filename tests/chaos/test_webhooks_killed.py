"""Webhooks, while the scheduler and the receiver are killed again and again: no message is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from asyncflow import Message, Status
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_mariadb
from tests.chaos.process import CHECKOUT
from tests.chaos.webhook_process import metadata, outbox
from tools.services import ports

_MESSAGES, _KEYS, _ROUNDS = 10_000, 97, 8
_CALM_SECONDS = 300.0


class Pair:
    """Have a scheduler and a receiver, each a process that is killed and started again."""

    def __init__(self, engine: Engine, file: Path) -> None:
        pytest.importorskip("httpx")
        port = ports.choose()
        url = engine.url.render_as_string(hide_password=False)
        self._commands = {
            "receiver": (str(file), str(port)),
            "scheduler": (url, f"http://127.0.0.1:{port}/hooks"),
        }
        self._processes = {role: self._start(role) for role in self._commands}

    def kill(self, role: str) -> None:
        """Kill it, and start another one in its place after a moment."""
        self._processes[role].send_signal(signal.SIGKILL)
        self._processes[role].wait()
        time.sleep(random.uniform(0.0, 1.0))  # for which it is away
        self._processes[role] = self._start(role)

    def stop(self) -> list[int]:
        """Ask both to end; return how they did."""
        for process in self._processes.values():
            process.terminate()
        return [process.wait(_CALM_SECONDS) for process in self._processes.values()]

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.chaos.webhook_process", role, *self._commands[role]]
        return subprocess.Popen(command, cwd=CHECKOUT)


@contextmanager
def pair_of(engine: Engine, file: Path) -> Iterator[Pair]:
    pair = Pair(engine, file)
    try:
        yield pair
    finally:
        pair.end()


def sent(engine: Engine) -> int:
    tasks = outbox.tasks.c
    with engine.connect() as connection:
        found = connection.scalar(select(func.count()).where(tasks.status == int(Status.SUCCESS)))
    return int(found or 0)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _CALM_SECONDS
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)  # between two looks: the condition is in the database


@pytest.mark.long
@pytest.mark.timeout(1200)
@on_mariadb
def test_kills_of_the_scheduler_and_the_receiver_lose_no_message(engine: Engine, tmp_path: Path, finding: Tell) -> None:
    file = tmp_path / "received"
    file.touch()
    metadata.create_all(engine)
    messages = [Message({"number": number}, key=f"k{number % _KEYS}") for number in range(_MESSAGES)]
    with engine.begin() as connection:
        ids = outbox.publish_many(connection, "paid", messages)
    with pair_of(engine, file) as pair:
        for number in range(_ROUNDS):
            wait_until(lambda number=number: sent(engine) > _MESSAGES * number // (_ROUNDS + 2))  # type: ignore[misc]
            for role in random.sample(["scheduler", "receiver"], 2):
                time.sleep(random.uniform(0.0, 0.3))  # into the middle of the work
                pair.kill(role)
        wait_until(lambda: sent(engine) == _MESSAGES)
        codes = pair.stop()
    received = Counter(file.read_text().split())
    lost = {str(one) for one in ids} - received.keys()
    twice = received.total() - _MESSAGES
    finding(f"webhooks: {_MESSAGES} messages, {_ROUNDS} kills of each; {len(lost)} lost, {twice} received twice")
    assert codes == [0, 0]
    assert lost == set()
    assert received.keys() == {str(one) for one in ids}
    assert twice <= _MESSAGES

"""Each broker, while a scheduler and the broker are killed: nothing is lost, and a key's messages keep their order."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, func, select

from asyncflow import Message, Status
from tests.chaos.brokers import BROKERS, started
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_mariadb
from tests.chaos.private_server import PrivateServer
from tests.chaos.process import CHECKOUT
from tests.chaos.publishing_process import metadata, outbox
from tests.unit.scheduler.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

_MESSAGES, _KEYS, _ROUNDS = 10_000, 97, 5
_CALM_SECONDS = 300.0
_DEDUPES = {"nats"}


class Sending:
    """Have one scheduler as a process, which is killed and started again."""

    def __init__(self, *command: str) -> None:
        self._command = [sys.executable, "-m", "tests.chaos.publishing_process", *command]
        self._process = self._start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(_CALM_SECONDS)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=CHECKOUT)


@contextmanager
def sending(name: str, engine: Engine, server: PrivateServer) -> Iterator[Sending]:
    one = Sending(name, engine.url.render_as_string(hide_password=False), server.url)
    try:
        yield one
    finally:
        one.end()


def statuses(engine: Engine) -> dict[int, int]:
    tasks = outbox.tasks.c
    with engine.connect() as connection:
        counted = connection.execute(select(tasks.status, func.count()).group_by(tasks.status))
        return {int(status): count for status, count in counted}


@on_mariadb
@pytest.mark.parametrize("name", BROKERS)
def test_kills_of_the_scheduler_and_the_broker_lose_nothing_and_keep_the_order_of_each_key(
    engine: Engine, name: str, finding: Tell
) -> None:
    metadata.create_all(engine)
    written: dict[str, list[str]] = defaultdict(list)
    a_part = _MESSAGES // _ROUNDS

    def publish(numbers: range) -> None:
        messages = [Message({"number": number}, key=f"k{number % _KEYS}") for number in numbers]
        with engine.begin() as connection:
            ids = outbox.publish_many(connection, "moved", messages)
        for message, one in zip(messages, ids, strict=True):
            written[str(message.key)].append(str(one))

    def sent() -> int:
        return statuses(engine).get(int(Status.SUCCESS), 0)

    with started(name) as server:
        with sending(name, engine, server) as scheduler:
            for number in range(_ROUNDS):
                publish(range(number * a_part, (number + 1) * a_part))
                reached = number * a_part + random.randrange(1, a_part // 2)
                eventually(lambda reached=reached: sent() >= reached, _CALM_SECONDS)  # type: ignore[misc]
                if random.random() < 0.5:
                    scheduler.kill()
                    time.sleep(random.uniform(0.0, 1.0))  # into the beginning of the next one
                    server.kill()
                else:
                    server.kill()
                    time.sleep(random.uniform(0.0, 1.0))  # into what it makes of that
                    scheduler.kill()
                server.start()
            eventually(lambda: sent() == _MESSAGES, _CALM_SECONDS)
            code = scheduler.stop()
        stored = BROKERS[name].read(server.url)

    first: dict[str, list[str]] = defaultdict(list)
    for key, one in dict.fromkeys(stored):
        first[key].append(one)
    there = Counter(one for _, one in stored)
    twice = there.total() - len(there)
    lost = {one for ids in written.values() for one in ids} - there.keys()
    finding(f"{name}: {_MESSAGES} messages, {_ROUNDS} kills of each; {len(lost)} lost, {twice} stored twice")
    assert code == 0
    assert lost == set()
    assert first == written
    assert twice == 0 if name in _DEDUPES else twice <= 2 * _ROUNDS * _KEYS

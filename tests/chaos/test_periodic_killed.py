"""Instances that enqueue a periodic task are killed, and have wrong clocks: each due time gets one task."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta

import orjson
import pytest
from sqlalchemy import Engine, func, select

from tests.chaos.fixtures import on_servers
from tests.chaos.periodic_process import metadata, outbox
from tests.chaos.process import CHECKOUT
from tests.support.faketime import faketime_library

_OFFSETS = ["+0", "+1h", "-1h"]
_SECONDS = {"short": 6.0, "long": 120.0}


def instance(engine: Engine, offset: str) -> subprocess.Popen[bytes]:
    """Start an instance whose clock is wrong by ``offset``."""
    fake = {"LD_PRELOAD": str(faketime_library()), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"}
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.chaos.periodic_process", url]
    return subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **fake})


def enqueued(engine: Engine) -> list[datetime]:
    with engine.connect() as connection:
        headers = connection.scalars(select(outbox.tasks.c.headers)).all()
    return [datetime.fromisoformat(orjson.loads(text or "{}")["due-time"]) for text in headers]


def await_more(engine: Engine, timeout_seconds: float = 120.0) -> None:
    """Wait until one more task was enqueued."""
    count, until = select(func.count()).select_from(outbox.tasks), time.monotonic() + timeout_seconds
    with engine.connect() as connection:
        before = connection.execute(count).scalar_one()
        while connection.execute(count).scalar_one() == before:
            connection.rollback()
            assert time.monotonic() < until, "nothing more was enqueued"
            time.sleep(0.02)  # between two looks: the condition is in the database


@on_servers
@pytest.mark.parametrize("form", ["short", pytest.param("long", marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_each_due_time_gets_one_task_whoever_is_killed_and_whatever_their_clocks_tell(
    engine: Engine, form: str
) -> None:
    metadata.create_all(engine)
    chance = random.Random(20)
    instances = [instance(engine, offset) for offset in _OFFSETS]
    try:
        await_more(engine)
        until = time.monotonic() + _SECONDS[form]
        while time.monotonic() < until:
            victim = chance.randrange(len(instances))
            time.sleep(chance.uniform(0.1, 0.9))  # any moment will do
            instances[victim].kill()
            instances[victim].wait()
            instances[victim] = instance(engine, _OFFSETS[victim])
        await_more(engine)
    finally:
        for process in instances:
            process.kill()
            process.wait()
    times = Counter(enqueued(engine))
    assert set(times.values()) == {1}
    first, count = min(times), len(times)
    assert sorted(times) == [first + timedelta(seconds=number) for number in range(count)]
    assert count >= _SECONDS[form]

"""Claims in the hand of an instance that is killed: they are noticed by its lease, not by their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, func, select

from asyncflow import Call, Status
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_servers
from tests.chaos.holding_process import AT_WORK, done, metadata, outbox
from tests.chaos.process import CHECKOUT
from tests.support.lateness import Lateness
from tests.unit.scheduler.waiting import eventually

_TASKS = 40
_PROMISED_SECONDS, _BUSY_SECONDS = 8.0, 25.0  # on a quiet machine; on a busy one, sooner than claims run out


@contextmanager
def instance(engine: Engine, what: str) -> Iterator[subprocess.Popen[bytes]]:
    url = engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-m", "tests.chaos.holding_process", url, what], cwd=CHECKOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def enqueue(engine: Engine, task_type: str, numbers: range) -> None:
    with engine.begin() as connection:
        outbox.enqueue_many(connection, task_type, [Call({"number": number}) for number in numbers])


def count(engine: Engine, status: Status, task_type: str | None = None) -> int:
    its = outbox.tasks.c
    found = select(func.count()).where(its.status == int(status))
    with engine.connect() as connection:
        return connection.scalar(found if task_type is None else found.where(its.task_type == task_type)) or 0


@on_servers
def test_the_tasks_of_a_killed_instance_are_done_by_its_lease_and_those_that_waited_lost_no_attempt(
    engine: Engine, finding: Tell
) -> None:
    metadata.create_all(engine)
    enqueue(engine, "waiting", range(_TASKS))
    enqueue(engine, "begun", range(AT_WORK))
    with instance(engine, "hold") as killed:
        eventually(lambda: count(engine, Status.PROCESSING, "waiting") >= _TASKS // 2)
        eventually(lambda: count(engine, Status.PROCESSING, "begun") == AT_WORK)
        in_hand = count(engine, Status.PROCESSING)
        with instance(engine, "work"):
            enqueue(engine, "waiting", range(_TASKS, 2 * _TASKS))
            eventually(lambda: count(engine, Status.SUCCESS) > 0)  # both have shards
            killed.kill()
            began = time.monotonic()
            with Lateness(engine) as machine:
                eventually(lambda: count(engine, Status.SUCCESS) + count(engine, Status.FAILED) == 2 * _TASKS + AT_WORK)
            seconds = time.monotonic() - began
    finding(
        f"{engine.dialect.name}: {in_hand} claims of a killed instance done {seconds:.1f} s after the kill "
        f"(promised on a quiet machine: {_PROMISED_SECONDS:g} s)"
    )

    assert count(engine, Status.FAILED) == 0
    with engine.connect() as connection:
        rows = connection.execute(select(done.c.task_type, done.c.number, done.c.attempt)).all()
    effects = Counter((name, number, attempt) for name, number, attempt in rows)
    assert effects == Counter(
        [
            *(("waiting", number, 1) for number in range(2 * _TASKS)),
            *(("begun", number, 2) for number in range(AT_WORK)),
        ]
    )
    assert seconds < _BUSY_SECONDS + 4 * machine.worst

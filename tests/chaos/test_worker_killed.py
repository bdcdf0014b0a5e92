"""Workers that die: by their own handlers, and by SIGKILL."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, func, select

from asyncflow import Call, Status
from tests.chaos.handling_process import effects, metadata, outbox
from tests.chaos.process import CHECKOUT

_HARMLESS = 300
_END_SECONDS = 240.0


@contextmanager
def worker(engine: Engine) -> Iterator[subprocess.Popen[bytes]]:
    url = engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-m", "tests.chaos.handling_process", url], cwd=CHECKOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def statuses(engine: Engine) -> dict[tuple[str, int], int]:
    its_type, its_status = outbox.tasks.c.task_type, outbox.tasks.c.status
    with engine.connect() as connection:
        rows = connection.execute(select(its_type, its_status, func.count()).group_by(its_type, its_status))
        return {(name, status): count for name, status, count in rows}


def test_a_task_that_kills_its_worker_ends_failed_and_the_others_take_effect_once(engine: Engine) -> None:
    metadata.create_all(engine)
    with engine.begin() as connection:
        outbox.enqueue_many(connection, "harmless", [Call({"number": number}) for number in range(_HARMLESS)])
    expected = {("harmless", Status.SUCCESS): _HARMLESS, ("deadly", Status.FAILED): 1}
    until, deaths, is_killed = time.monotonic() + _END_SECONDS, Counter[int](), False
    while statuses(engine) != expected and time.monotonic() < until:
        with worker(engine) as process:
            while process.poll() is None and statuses(engine) != expected and time.monotonic() < until:
                if not is_killed and 0 < statuses(engine).get(("harmless", Status.SUCCESS), 0) < _HARMLESS:
                    process.kill()
                    is_killed = True
                    with engine.begin() as connection:
                        outbox.enqueue(connection, "deadly")
                time.sleep(0.02)  # between two looks: the condition is in the database
            deaths[process.poll() or 0] += 1

    assert statuses(engine) == expected
    assert deaths[17] == 3
    with engine.connect() as connection:
        numbers = connection.scalars(select(effects.c.number)).all()
    assert Counter(numbers) == Counter(range(_HARMLESS))

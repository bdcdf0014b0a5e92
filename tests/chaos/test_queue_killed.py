"""A queue, while its schedulers, its workers and its broker are killed: every task is done, none is lost."""

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

from asyncflow import Call, Status
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_mariadb
from tests.chaos.private_server import PrivateServer, private_server
from tests.chaos.process import CHECKOUT
from tests.chaos.queue_process import counted, deadly, metadata, outbox
from tests.support.redis_registry import own_redis
from tools.services.errors import CannotServeError
from tools.services.kafka import Kafka

_TASKS = {"short": 800, "long": 20_000}
_ROUNDS = {"short": 1, "long": 15}
_PROCESSES = {"short": (1, 2), "long": (2, 3)}  # schedulers and workers
_CALM_SECONDS = 150.0


class Crew:
    """Have schedulers and workers, each a process that is started again when it is killed, or has ended."""

    def __init__(self, engine: Engine, broker: PrivateServer, file: Path, form: str) -> None:
        url = engine.url.render_as_string(hide_password=False)
        self._broker = broker
        self._schedulers, workers = _PROCESSES[form]
        self._commands = [*[("scheduler", url)] * self._schedulers, *[("worker", str(file))] * workers]
        self._processes = [self._start(*command) for command in self._commands]
        self.deaths: Counter[int] = Counter()

    def kill_in_turn(self) -> None:
        """Kill a worker, a scheduler and the broker: a Redis loses all that it has."""
        a_worker = random.randrange(self._schedulers, len(self._processes))
        for number in (a_worker, random.randrange(self._schedulers)):
            self._processes[number].kill()
            time.sleep(random.uniform(0.1, 0.5))  # into the middle of the work
            self.replace_the_dead()
        self._broker.kill()
        time.sleep(random.uniform(0.1, 0.5))
        self._broker.start()

    def replace_the_dead(self) -> None:
        for number, process in enumerate(self._processes):
            if process.poll() is not None:
                self.deaths[process.returncode] += 1
                self._processes[number] = self._start(*self._commands[number])

    def stop(self) -> list[int]:
        """Ask all of them to end; return how they did."""
        for process in self._processes:
            process.terminate()
        return [process.wait(_CALM_SECONDS) for process in self._processes]

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, role: str, where: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.queue_process", role, where, self._broker.url], cwd=CHECKOUT
        )


@contextmanager
def crew_of(engine: Engine, broker: PrivateServer, file: Path, form: str) -> Iterator[Crew]:
    metadata.create_all(engine)
    crew = Crew(engine, broker, file, form)
    try:
        yield crew
    finally:
        crew.end()


def statuses(engine: Engine) -> dict[tuple[str, int], int]:
    tasks = outbox.tasks.c
    with engine.connect() as connection:
        counts = select(tasks.task_type, tasks.status, func.count()).group_by(tasks.task_type, tasks.status)
        return {(name, status): count for name, status, count in connection.execute(counts)}


def done(engine: Engine) -> int:
    return statuses(engine).get(("counted", Status.SUCCESS), 0)


def wait_until(condition: Callable[[], bool], crew: Crew) -> None:
    until = time.monotonic() + _CALM_SECONDS
    while not condition():
        assert time.monotonic() < until, "not in time"
        crew.replace_the_dead()
        time.sleep(0.05)  # between two looks: the condition is in the database


@contextmanager
def own_kafka() -> Iterator[PrivateServer]:
    """Start a Kafka of the test's own, which has on its disk what it acknowledged, and keeps it when it is killed."""
    pytest.importorskip("confluent_kafka")
    try:
        with private_server(Kafka()) as server:
            yield server
    except CannotServeError as reason:
        pytest.skip(f"Kafka is not to be had: {reason}")


_BROKERS = {"redis": own_redis, "kafka": own_kafka}
_LONG = [pytest.mark.long, pytest.mark.timeout(1200)]


@on_mariadb
@pytest.mark.parametrize(
    ("broker", "form"),
    [
        ("redis", "short"),
        pytest.param("redis", "long", marks=_LONG),
        pytest.param("kafka", "short", marks=_LONG),  # for Kafka takes a while to come back
        pytest.param("kafka", "long", marks=_LONG),
    ],
)
def test_kills_of_schedulers_workers_and_the_broker_lose_no_task(
    engine: Engine, tmp_path: Path, broker: str, form: str, finding: Tell
) -> None:
    count, file = _TASKS[form], tmp_path / "effects"
    with _BROKERS[broker]() as server, crew_of(engine, server, file, form) as crew:
        with engine.begin() as connection:
            outbox.enqueue_many(connection, counted, [Call({"number": number}) for number in range(count)])
        wait_until(lambda: done(engine) > 0, crew)
        expected = {("counted", Status.SUCCESS): count}
        if form == "long":  # each of its deaths is a process more to begin
            expected["deadly", Status.FAILED] = 1
            with engine.begin() as connection:
                outbox.enqueue(connection, deadly)
        for _ in range(_ROUNDS[form]):
            crew.kill_in_turn()
        wait_until(lambda: statuses(engine) == expected, crew)
        codes = crew.stop()

    lines = Counter(file.read_text().splitlines())
    deadly_lines = [lines.pop(line) for line in list(lines) if line.startswith("deadly")]
    finding(
        f"queue on {broker}, {form}: {count} tasks, deaths by code {dict(crew.deaths)}, and the broker "
        f"{_ROUNDS[form]} times; "
        f"0 lost, {sum(lines.values()) - count} done twice"
    )
    assert set(codes) <= {0, -signal.SIGTERM}, "and the latter of one that had just begun to begin"
    assert set(lines) == {str(number) for number in range(count)}
    assert form == "short" or sum(deadly_lines) >= 1, "its deaths were counted as attempts"
    assert sum(lines.values()) <= 3 * count


def test_the_process_of_a_worker_needs_no_database() -> None:
    pytest.importorskip("redis")
    code = (
        "import sys, tests.chaos.queue_process as its; its.worker('redis://127.0.0.1:1').__enter__().stop(); "
        "print([name for name in ('pymysql', 'psycopg', 'sqlite3') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"

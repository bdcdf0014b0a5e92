"""``asyncflow run`` in real processes: its health, its log, and several of it, which live and end together."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from asyncflow import Status
from asyncflow.commands.processes.health import Health, HealthServer
from asyncflow.errors import OptionError
from asyncflow.scheduler.operator.instances import Instances
from tests.integration.commands.test_cli import ASYNCFLOW, LONG, plain
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually
from tools.services.ports import choose

WIRING = """
from sqlalchemy import MetaData, create_engine
from asyncflow import Outbox, Scheduler
from asyncflow.testing import MemoryPublisher

engine = create_engine({url!r})
outbox = Outbox(MetaData())
outbox.message("user.registered")
scheduler = Scheduler(engine, outbox, {{"kafka": MemoryPublisher()}}, heartbeat_seconds=0.2, lease_seconds=3.0{options})
"""
Start = Callable[..., "Running"]


class Running:
    """Have a command that runs, and what it has written to standard error."""

    def __init__(self, command: list[str], folder: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stderr=pipe, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def told(self) -> str:
        return "\n".join(self.lines)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(LONG)
        self._reader.join(LONG)
        return code

    def pids(self) -> list[int]:
        """Return the latest pid of each process that was begun."""
        found = dict(re.findall(r"Process (\d+)/\d+ runs, pid (\d+)", self.told))
        return [int(pid) for _, pid in sorted(found.items())]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``asyncflow run`` on a database; end it with the test."""
    made: list[Running] = []

    def begin(engine: Engine, *arguments: str, options: str = "") -> Running:
        (tmp_path / "wiring.py").write_text(WIRING.format(url=plain(engine.url), options=options))
        made.append(Running([ASYNCFLOW, "run", "wiring:scheduler", *arguments], tmp_path))
        return made[-1]

    yield begin
    for one in made:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


def ask(port: int, path: str) -> tuple[int, Any]:
    try:
        reply = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    except httpx.TransportError:
        return 0, None
    return reply.status_code, reply.json()


def test_one_process_tells_its_health_and_logs_lines_of_json(sqlite_application: Application, start: Start) -> None:
    port = choose()
    running = start(sqlite_application.engine, "--health-port", str(port), "--log-json", "--log-level", "debug")
    eventually(lambda: ask(port, "/readyz") == (200, {"status": "ok"}), LONG)
    assert ask(port, "/healthz") == (200, {"status": "ok"})
    assert ask(port, "/secrets")[0] == 404
    publish_many(sqlite_application, 3)
    eventually(lambda: set(sqlite_application.statuses()) == {Status.SUCCESS}, LONG)
    assert running.end() == 0
    told = [json.loads(line) for line in running.lines]
    by_event = {one["event"]: one for one in told if "event" in one}
    assert {"SchedulerStarted", "TasksSettled", "SchedulerStopped"} <= by_event.keys()
    assert by_event["SchedulerStopped"]["fields"] == {
        "owner": by_event["SchedulerStarted"]["fields"]["owner"],
        "clean": True,
    }


def test_several_processes_share_the_work_live_on_and_end_together(
    sqlite_application: Application, start: Start
) -> None:
    instances = Instances(sqlite_application.engine, sqlite_application.outbox)

    def alive() -> dict[str, int]:
        return {one.name: one.shards for one in instances.all() if one.lease_seconds_left > 0 and one.shards}

    def share_alike(pids: list[int]) -> bool:
        # By one look: the lease of the killed one may still run.
        found = alive()
        return sorted(found.values()) == [32, 32] and all(f":{pid}:" in " ".join(found) for pid in pids)

    running = start(sqlite_application.engine, "--processes", "2")
    eventually(lambda: share_alike(running.pids()), LONG)
    first = running.pids()
    os.kill(first[0], signal.SIGKILL)
    eventually(lambda: len(running.pids()) == 2 and running.pids() != first, LONG)
    eventually(lambda: share_alike(running.pids()), LONG)
    assert running.end() == 0
    assert alive() == {}  # each has handed its shards over, or given them back
    assert "Process 1/2 ended with signal 9" in running.told
    assert running.told.count("clean=True") == 2
    assert "[2/2] " in running.told


def test_processes_end_when_their_supervisor_is_killed(sqlite_application: Application, start: Start) -> None:
    instances = Instances(sqlite_application.engine, sqlite_application.outbox)
    running = start(sqlite_application.engine, "--processes", "2")
    eventually(lambda: sum(one.shards > 0 for one in instances.all()) == 2, LONG)
    running.end(signal.SIGKILL)
    eventually(lambda: not any(one.shards for one in instances.all()), LONG)
    assert running.told.count("clean=True") == 2


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        (["--processes", "0"], "", "--processes is 0; give 2 to 256"),
        (["--processes", "2"], ", instance_count=2, instance_index=0", "has a fixed share (instance_index 0)"),
        (["--log-level", "loud"], "", "invalid choice: 'loud'"),
    ],
)
def test_what_cannot_be_run_so_ends_at_once_with_the_reason(
    sqlite_application: Application, start: Start, arguments: list[str], options: str, told: str
) -> None:
    running = start(sqlite_application.engine, *arguments, options=options)
    assert running.process.wait(LONG) in (1, 2)
    eventually(lambda: told in running.told, LONG)


def test_a_scheduler_is_ready_while_it_has_leases_and_a_database(sqlite_application: Application) -> None:
    scheduler = sqlite_application.scheduler(heartbeat_seconds=0.1, lease_seconds=600.0)
    now = [0.0]
    health = Health(scheduler, lambda: now[0])
    assert health.fault_of_life() is None
    assert health.fault_of_readiness() == "it takes no part in the cluster"
    with scheduler, HealthServer(health, 0) as server:
        assert ask(server.port, "/readyz")[0] == 200
        held, scheduler.engines[""] = scheduler.engine, Dead()  # type: ignore[assignment]
        assert ask(server.port, "/readyz")[0] == 200  # an answer is kept for a second
        now[0] += 5
        assert ask(server.port, "/readyz") == (
            503,
            {"status": "not ready", "reason": "the database does not answer: AttributeError"},
        )
        assert ask(server.port, "/healthz")[0] == 200  # a restart would mend nothing
        scheduler.engines[""] = held
    assert health.fault_of_life() == "the scheduler has stopped"


class Dead:
    """Be an engine that is none."""


def test_a_port_that_is_taken_is_told(sqlite_application: Application) -> None:
    health = Health(sqlite_application.scheduler())
    with HealthServer(health, 0) as server, pytest.raises(OptionError, match=f"the health port is {server.port}"):
        HealthServer(health, server.port)
    with pytest.raises(OptionError, match="the health port is 70000"):
        HealthServer(health, 70_000)

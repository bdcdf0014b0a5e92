"""``asyncflow worker`` with a worker of a queue: it runs until SIGTERM, also while its broker is away."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.commands.test_cli import ASYNCFLOW, LONG

WIRING = """
from sqlalchemy import MetaData
from asyncflow import Outbox, QueueWorker
from asyncflow.integrations.redis import RedisQueue

outbox = Outbox(MetaData())

@outbox.task(queue="workers")
def issue():
    pass

def make_worker():
    return QueueWorker(outbox, "workers", RedisQueue("redis://127.0.0.1:1/0"), name="w-7")
"""


def test_the_command_runs_the_worker_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    (tmp_path / "wiring.py").write_text(WIRING)
    command = [ASYNCFLOW, "worker", "wiring:make_worker"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = ""
        while "UnreachableError: Redis at 127.0.0.1:1" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        process.send_signal(signal.SIGTERM)
        told += process.communicate(timeout=LONG)[1]
    assert process.returncode == 0, told
    assert "worker=w-7 server='the queue workers' task_types=issue" in told
    assert "WorkerStopped worker=w-7 clean=True" in told

"""Processes of a benchmark, and the speed at which they settle together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import orjson

from benchmarks.ground import Ground
from benchmarks.instance import Job

_CHECKOUT = Path(__file__).resolve().parents[1]
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.1


class Process:
    """Run ``benchmarks.instance`` from its making until ``end``, which returns what it used."""

    def __init__(self, kind: str, job: Job) -> None:
        environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT)}
        command = [sys.executable, "-m", "benchmarks.instance", kind]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=_CHECKOUT, env=environment)
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(asdict(job)) + b"\n")
        self._process.stdin.flush()

    def wait_until_ready(self) -> None:
        """Wait until it has started; raises RuntimeError if it ends before."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("a process of the benchmark did not start; its error is above")

    def peak_memory(self) -> int:
        """Return the most memory that it has had so far, in KiB.

        Not ``ru_maxrss``: that of a child begins with what its parent had when it was started.
        """
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(peak)

    def end(self) -> None:
        """End it by SIGTERM."""
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def running(kind: str, jobs: Sequence[Job]) -> Iterator[None]:
    """Run a process for each job."""
    with ExitStack() as stack:
        processes = [Process(kind, job) for job in jobs]
        for process in processes:
            stack.callback(process.end)
        for process in processes:
            process.wait_until_ready()
        yield


def await_shares(ground: Ground, instances: int) -> None:
    """Wait until the shards are shared out among ``instances``, evenly."""
    each = ground.outbox.shard_count // instances
    counts = (
        f"SELECT COUNT(*) FROM (SELECT owner FROM {ground.outbox.shards.fullname} "
        f"WHERE job = 'outbox' AND owner IS NOT NULL GROUP BY owner HAVING COUNT(*) >= {each}) AS shares"
    )
    _await(lambda: ground.ask(counts) == instances, "the shards were not shared out")


def settling_speed(ground: Ground, rows: int, task_type: str) -> float:
    """Let ``rows`` tasks appear by one commit, wait until all are SUCCESS; return rows a second.

    From the first settle to the last one by the rows' own times, so that nothing counts but the work; the rows of the
    first moment are left out for that.
    """
    ground.run(f"TRUNCATE TABLE {ground.table}")
    ground.add_at_once(rows, task_type)
    _await(ground.is_done, "not all tasks were settled")
    table, is_mysql = ground.table, ground.engine.dialect.name == "mysql"
    first = ground.ask(f"SELECT MIN(modified_at) FROM {table}")
    last = ground.ask(f"SELECT MAX(modified_at) FROM {table}")
    counted = ground.ask(f"SELECT COUNT(*) FROM {table} WHERE modified_at > '{first}'")
    settled = ground.count("status = 2")
    if settled != rows:
        raise RuntimeError(f"{settled} of {rows} tasks ended as SUCCESS on {'MariaDB' if is_mysql else 'PostgreSQL'}")
    return float(max(1, counted) / max((last - first).total_seconds(), 1e-3))


def _await(condition: object, trouble: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise RuntimeError(f"{trouble} in {_PATIENCE_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)

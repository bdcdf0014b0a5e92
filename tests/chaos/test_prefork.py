"""A server that loads the application once and then forks: each worker is an instance, and may die as one."""

from __future__ import annotations

import os
import random
import signal
import time

from tests.chaos.cluster_run import StartClusterRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_servers
from tests.chaos.loads import end, moved_while, watch
from tests.chaos.prefork_process import WORKERS
from tests.chaos.process import ProcessUnderTest

_SERVER = ("tests.chaos.prefork_process",)
_LEASE_SECONDS = 2.0
_SECONDS = {"short": 6.0, "long": 60.0}


@on_servers
@in_short_and_long
def test_workers_of_a_pre_fork_server_share_the_work_and_send_nothing_twice(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run(lease_seconds=10 * _LEASE_SECONDS)  # which does not run out in a worker that stands still
    server = run.start(_SERVER)
    await_workers(server, WORKERS)
    run.await_shares(WORKERS)
    run.start_writers(threads=4, breath_seconds=0.03)
    committed, settled = moved_while(run, lambda: watch(run, _SECONDS[form]))
    finding(f"  {WORKERS} workers of one server: {committed} committed, {settled} settled meanwhile")
    verdict = end(run, finding)
    assert len({event["owner"] for event in server.of("at work")}) == WORKERS
    assert verdict.is_clean
    assert verdict.duplicates == 0


@on_servers
@in_short_and_long
def test_workers_of_a_pre_fork_server_that_are_killed_lose_nothing(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run(lease_seconds=_LEASE_SECONDS)
    server = run.start(_SERVER)
    await_workers(server, WORKERS)
    run.start_writers(threads=4, breath_seconds=0.03)
    killed, until = set[int](), time.monotonic() + _SECONDS[form]
    while time.monotonic() < until:
        server.wait_for_next_event(random.uniform(0.2, 1.0))
        victim = random.choice([event["pid"] for event in server.of("at work") if event["pid"] not in killed])
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
        await_workers(server, WORKERS + len(killed))  # gunicorn starts another one
    run.await_shares(WORKERS)
    verdict = end(run, finding)
    finding(f"  {len(killed)} workers of a pre-fork server killed")
    assert verdict.is_clean


def await_workers(server: ProcessUnderTest, count: int) -> None:
    """Wait until so many workers have started, those included that have ended since."""
    server.wait_for(lambda: len(server.of("at work")) >= count, timeout_seconds=120.0)

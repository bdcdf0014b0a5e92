"""The database may be killed under load: every committed order is delivered once it is back, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import NullPool, create_engine

from asyncflow import Status
from tests.chaos.crash_run import CrashRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import plan_of, with_each_client
from tests.chaos.private_server import PrivateServer, private_server
from tests.chaos.process import ProcessUnderTest
from tests.chaos.shop import Shop
from tools.services.mariadb import MariaDB
from tools.services.postgresql import PostgreSQL

ROUNDS = 5


@pytest.fixture(params=[MariaDB(), PostgreSQL()], ids=lambda service: service.name)
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    with private_server(request.param) as server:
        yield server


@pytest.mark.long
@pytest.mark.timeout(600)
@with_each_client
def test_a_database_killed_5_times_under_load_loses_no_order(
    request: pytest.FixtureRequest, server: PrivateServer, topic: str, client: str, finding: Tell
) -> None:
    shop = Shop(create_engine(server.url, poolclass=NullPool), topic)
    shop.create_tables()
    run = CrashRun(request.node.name, shop, plan_of(shop, topic, client))
    try:
        waits = _kill_under_load(run, server)
        verdict = replace(run.verdict(), seconds_to_recover=max(waits))
    finally:
        run.close()
    finding(verdict)
    finding(f"  seconds from each kill to the next settled batch: {[round(wait, 1) for wait in waits]}")
    finding(verdict.as_json())
    assert verdict.is_clean
    assert verdict.duplicates <= run.most_duplicates()
    assert shop.count(Status.FAILED) == 0


def _kill_under_load(run: CrashRun, server: PrivateServer) -> list[float]:
    """Kill the server and start it again, round after round; return how long each took to be at work again."""
    writers, scheduler = run.start_writers(), run.start_scheduler()
    waits = []
    for _ in range(ROUNDS):
        _await_batch_after(scheduler, time.monotonic())
        killed_at = time.monotonic()
        server.kill()
        restarted_at = time.monotonic()
        server.start()
        waits.append(_await_batch_after(scheduler, restarted_at) - killed_at)
    assert writers.dismiss() == 0
    (wrote,) = writers.of("wrote")
    assert wrote["cut_off"] >= ROUNDS
    run.settle_all()
    return waits


def _await_batch_after(scheduler: ProcessUnderTest, moment: float) -> float:
    """Wait for a batch that was settled after a moment; return when it was."""

    def batches() -> list[float]:
        return [event["at"] for event in scheduler.of("settled") if event["at"] > moment]

    scheduler.wait_for(lambda: bool(batches()), timeout_seconds=120)
    return batches()[0]

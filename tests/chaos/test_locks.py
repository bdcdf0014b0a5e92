"""Somebody holds a lock for long: a row waits alone, a table waits as a whole, and no shard is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, select, text

from asyncflow import Status
from tests.chaos.bank import Bank
from tests.chaos.cluster_run import ClusterRun, StartClusterRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_servers
from tests.chaos.loads import begin, end, moved_while, watch
from tests.support.lateness import Lateness
from tools.services.process import wait_until

LEASE_SECONDS = 7.0
LEFT_OF_A_LEASE = LEASE_SECONDS / 3  # of one that is renewed in time: a machine that stands for longer may lose it
_WHOLE_TABLE = {"postgresql": "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", "mysql": "LOCK TABLES {} WRITE"}


@on_servers
@in_short_and_long
def test_a_row_that_is_locked_for_long_holds_up_itself_alone(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run(lease_seconds=LEASE_SECONDS)
    begin(run)
    seconds = 60.0 if form == "long" else 9.0
    watch(run, 2)
    with row_locked(run.bank) as row:
        done = run.bank.count(Status.SUCCESS)
        with Lateness(run.bank.engine) as machine:
            written, settled = moved_while(run, lambda: watch(run, seconds))
            finding(f"  with a row locked for {seconds:g} s: {written} committed, {settled} settled")
            # A machine that is busy may be behind at any moment, but all these come while the row is locked.
            assert wait_until(lambda: run.bank.count(Status.SUCCESS) - done >= 0.9 * written, 120.0)
        assert lost_shards(run) == 0 or machine.worst > LEFT_OF_A_LEASE
    verdict = end(run, finding)
    assert str(row.id) in run.bank.committed()
    assert verdict.is_clean


@on_servers
@in_short_and_long
def test_a_table_that_is_locked_for_long_costs_no_shard(form: str, cluster_run: StartClusterRun, finding: Tell) -> None:
    run = cluster_run(lease_seconds=LEASE_SECONDS)
    begin(run)
    watch(run, 2)
    with Lateness(run.bank.engine) as machine, table_locked(run.bank.engine, run.bank.outbox.tasks.name):
        watch(run, 60.0 if form == "long" else 9.0)
    assert lost_shards(run) == 0 or machine.worst > LEFT_OF_A_LEASE
    assert end(run, finding).is_clean


@contextmanager
def row_locked(bank: Bank) -> Iterator[Any]:
    """Hold the lock of a message that waits, as a support engineer's open transaction does."""
    tasks = bank.outbox.tasks
    wanted = select(tasks.c.id).where(tasks.c.status == int(Status.PENDING)).limit(1)
    with bank.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        until = time.monotonic() + 60
        while (row := connection.execute(wanted.with_for_update(skip_locked=True)).one_or_none()) is None:
            connection.rollback()
            assert time.monotonic() < until, "no message waits"
        yield row
        connection.rollback()


@contextmanager
def table_locked(engine: Engine, name: str) -> Iterator[Connection]:
    """Hold the lock of a whole table, as a migration does."""
    with engine.connect() as connection:
        connection.execute(text(_WHOLE_TABLE[engine.dialect.name.replace("mariadb", "mysql")].format(name)))
        yield connection
        if engine.dialect.name != "postgresql":
            connection.execute(text("UNLOCK TABLES"))
        connection.rollback()


def lost_shards(run: ClusterRun) -> int:
    """Return how many shards the schedulers have lost."""
    return sum(event["lost"] for scheduler in run.schedulers for event in scheduler.of("owns"))

"""A database's clock that is set while schedulers run, and while one of them dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, select

from asyncflow import Scheduler, Status
from asyncflow.events import OwnershipChanged, ShardsHandedOver
from asyncflow.outbox.clock import database_now
from asyncflow.testing import MemoryPublisher, Signals
from tests.chaos.bank import Bank
from tests.chaos.cluster_run import ClusterRun, owner_of
from tests.chaos.findings import Tell
from tests.chaos.fixtures import plan_of
from tests.chaos.private_server import private_server
from tests.support.faketime import faketime_library
from tests.support.lateness import Lateness
from tools.services.mariadb import MariaDB
from tools.services.process import wait_until

pytestmark = pytest.mark.alone
LEASE_SECONDS = 3.0
SetClock = Callable[[int], None]


@pytest.fixture
def clock(request: pytest.FixtureRequest, topic: str, tmp_path: Path) -> Iterator[tuple[ClusterRun, SetClock]]:
    """Give a cluster on a server whose clock can be set."""
    offset = Path(f"/tmp/{tmp_path.name}-{topic}-clock")  # where the server's account may read
    offset.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with private_server(MariaDB(), environment) as server:
        bank = Bank(create_engine(server.url, poolclass=NullPool), topic)
        bank.create_tables()
        plan = plan_of(bank, topic, "confluent-kafka", application="bank", lease_seconds=LEASE_SECONDS)
        run = ClusterRun(request.node.name, bank, plan)

        def set_clock(seconds: int) -> None:
            offset.write_text(f"{seconds:+d}\n")
            assert wait_until(lambda: abs(seconds_off(bank) - seconds) < 5, 60), seconds_off(bank)

        try:
            yield run, set_clock
        finally:
            run.close()
            offset.unlink()


@pytest.mark.parametrize("step", [-3600, *(pytest.param(step, marks=pytest.mark.long) for step in (-10, 3600))])
def test_the_shards_of_one_who_dies_as_the_clock_is_set_are_taken_over_all_the_same(
    step: int, clock: tuple[ClusterRun, SetClock], finding: Tell
) -> None:
    run, set_clock = clock
    victim, *_ = run.start_cluster(3)
    run.start_writers()
    run.dismiss_writers()
    run.settle_all()
    victim.kill()
    set_clock(step)
    with Lateness(run.bank.engine) as machine:
        seconds = run.seconds_until_owned_by_others(owner_of(victim))
    run.start_writers()
    run.dismiss_writers()
    run.settle_all()
    run.stop_all()
    finding(f"taken over {seconds:.1f} s after a step of {step} s; the lease is {LEASE_SECONDS:g} s")
    assert seconds < 2 * LEASE_SECONDS + 4 + 4 * machine.worst
    assert run.bank.count(Status.FAILED) == 0


def test_who_starts_right_after_a_step_forward_takes_nothing_from_who_lives(clock: tuple[ClusterRun, SetClock]) -> None:
    run, set_clock = clock
    bank, signals = run.bank, Signals()
    # Leases so long that nobody renews them by himself before the newcomer has looked.
    options: dict[str, Any] = {"lease_seconds": 30.0, "heartbeat_seconds": 1.0, "hooks": [signals]}

    def scheduler() -> Scheduler:
        return Scheduler(create_engine(bank.engine.url), bank.outbox, {"kafka": MemoryPublisher()}, **options)

    with scheduler() as living:
        assert len(living.ownership.epochs()) == bank.outbox.shard_count
        set_clock(3600)
        with scheduler():
            assert wait_until(lambda: run.is_shared(2), 60), run.owners()
            assert wait_until(lambda: len({event.owner for event in signals.of(OwnershipChanged)}) == 2, 60)
            assert [event for event in signals.of(OwnershipChanged) if event.lost] == []
            assert signals.of(ShardsHandedOver)


def test_who_lives_loses_nothing_when_the_clock_is_set(clock: tuple[ClusterRun, SetClock]) -> None:
    run, set_clock = clock
    cluster = run.start_cluster(3)
    before = run.owners()
    with Lateness(run.bank.engine) as machine:
        for step in (-3600, 3600):
            set_clock(step)
            deadline = time.monotonic() + 2 * LEASE_SECONDS
            cluster[0].wait_for(lambda until=deadline: time.monotonic() > until, timeout_seconds=60)  # type: ignore[misc]
            assert run.owners() == before or is_late(machine)
    assert all(event["lost"] == 0 for scheduler in cluster for event in scheduler.of("owns")) or is_late(machine)
    run.stop_all()


def is_late(machine: Lateness) -> bool:
    """Tell whether the machine stood for longer than what is left of a lease that is renewed in time."""
    return machine.worst > LEASE_SECONDS / 3


def seconds_off(bank: Bank) -> float:
    """Return how far the database's clock is ahead of this host's."""
    with bank.engine.connect() as connection:
        return float(connection.execute(select(database_now())).scalar_one().timestamp() - time.time())

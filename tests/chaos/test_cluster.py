"""Several schedulers, killed, frozen, restarted, and a database whose clock is wrong: nothing lost or out of order."""

from __future__ import annotations

import random
import signal
import time
from datetime import datetime, timezone
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, select

from asyncflow import SchedulerSettings, Status
from asyncflow.outbox.clock import database_now
from tests.chaos.bank import Bank
from tests.chaos.cluster_run import ClusterRun, StartClusterRun, owner_of
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_mariadb, plan_of
from tests.chaos.oracle import Verdict
from tests.chaos.private_server import private_server
from tests.chaos.publishers import AFTER_ACKNOWLEDGEMENT
from tests.support.faketime import faketime_library
from tests.support.lateness import Lateness
from tools.services.mariadb import MariaDB

DEFAULT_LEASE_SECONDS = SchedulerSettings().lease_seconds
# The wait for a heartbeat, the look, the hand-over and the look that sees it, each of which a busy machine lets wait.
_STEPS_OF_A_JOIN = 4
# Of a server that was silent, or had a row locked, for as long as the machine stood: by MySQL's numbers.
_SIGNS_OF_A_STALL = ("ConnectionSilentError", "(1205, ", "(2006, ", "(2013, ")
_MOST_JOINS = 4  # what is slow by itself is slow each time; a machine that is busy, now and then


@on_mariadb
@in_short_and_long
def test_4_instances_killed_and_restarted_at_random_lose_nothing_and_keep_order(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    seconds, least = (300, 100_000) if form == "long" else (12, 100)
    run = cluster_run()
    cluster = run.start_cluster(4)
    run.start_writers(threads=8, breath_seconds=0.03)
    waits, kills, deadline = [0.0], 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        victim = random.randrange(4)
        cluster[victim].wait_for_next_event(random.uniform(0.5, 3.0))
        cluster[victim].kill()
        kills += 1
        if form == "long":
            waits.append(run.seconds_until_owned_by_others(owner_of(cluster[victim])))
        cluster[victim] = run.start_scheduler()
        cluster[victim].wait_for(lambda one=cluster[victim]: bool(one.of("started")))  # type: ignore[misc]
    wrote = run.dismiss_writers()
    assert wrote["errors"] == 0, wrote
    run.settle_all()
    run.stop_all()
    verdict = tell(run.verdict(max(waits)), finding)
    finding(f"  {kills} kills; duplicates {verdict.duplicates / verdict.committed:.3%} (goal: under 0.1 %)")
    assert verdict.committed >= least
    assert verdict.is_clean


@on_mariadb
def test_an_instance_frozen_past_its_lease_between_publish_and_settle_changes_nothing(
    cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run()
    frozen = run.start_scheduler(die_at=AFTER_ACKNOWLEDGEMENT, die_on=1, die_how="stop")
    frozen.wait_for(lambda: bool(frozen.of("started")))
    run.start_writers()
    frozen.wait_for(lambda: bool(frozen.of("dying")))
    (last_words,) = frozen.of("dying")
    other = run.start_scheduler()
    other.wait_for(lambda: bool(other.of("started")))
    run.seconds_until_owned_by_others(owner_of(frozen))
    run.dismiss_writers()
    run.settle_all()
    before = rows_of(run)
    frozen.signal(signal.SIGCONT)
    frozen.wait_for(lambda: bool(frozen.of("fenced")))
    assert rows_of(run) == before
    fenced = sum(event["tasks"] for event in frozen.of("fenced"))
    assert fenced == last_words["records"]
    assert len(frozen.of("published")) == 1, "it went on publishing"
    run.stop_all()
    verdict = tell(run.verdict(), finding)
    finding(f"  fenced {fenced}, which is what the late one held")
    assert verdict.is_clean


@pytest.mark.alone
@on_mariadb
@in_short_and_long
def test_a_rolling_restart_of_4_instances_duplicates_nothing(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run(lease_seconds=DEFAULT_LEASE_SECONDS)
    cluster = run.start_cluster(4)
    run.start_writers(threads=8)
    waits: list[float] = []
    late: list[float] = []
    for place in range(4 if form == "long" else 2):
        assert cluster[place].stop() == 0
        with Lateness(run.bank.engine) as machine:
            waits.append(run.seconds_until_owned_by_others(owner_of(cluster[place])))
        late.append(_STEPS_OF_A_JOIN * machine.worst)
        cluster[place] = run.start_scheduler()
        cluster[place].wait_for(lambda one=cluster[place]: bool(one.of("started")))  # type: ignore[misc]
        run.await_shares(4)
    run.dismiss_writers()
    run.settle_all()
    run.stop_all()
    verdict = tell(run.verdict(max(waits)), finding)
    finding(
        f"  seconds from each exit until every shard was owned: {[round(wait, 3) for wait in waits]} (goal: under 1)"
    )
    assert verdict.is_clean
    assert verdict.duplicates == 0
    assert all(wait < 1 + more for wait, more in zip(waits, late, strict=True))


@pytest.mark.alone
@on_mariadb
def test_the_shards_of_one_of_3_that_is_killed_are_taken_over_within_its_lease_and_a_second(
    cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run(lease_seconds=DEFAULT_LEASE_SECONDS)
    victim, *_ = run.start_cluster(3)
    run.start_writers()
    victim.kill()
    with Lateness(run.bank.engine) as machine:
        seconds = run.seconds_until_owned_by_others(owner_of(victim))
    run.dismiss_writers()
    run.settle_all()
    run.stop_all()
    verdict = tell(run.verdict(seconds), finding)
    assert verdict.is_clean
    assert DEFAULT_LEASE_SECONDS + 1 <= 10
    assert seconds < DEFAULT_LEASE_SECONDS + 1 + _STEPS_OF_A_JOIN * machine.worst


@pytest.mark.alone
@on_mariadb
def test_a_second_instance_has_its_share_within_a_second_of_its_start(
    cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run(lease_seconds=DEFAULT_LEASE_SECONDS)
    run.start_cluster(1)
    run.start_writers()
    for _ in range(_MOST_JOINS):
        second = run.start_scheduler()
        second.wait_for(lambda one=second: bool(one.of("started")))  # type: ignore[misc]
        with Lateness(run.bank.engine) as machine:
            seconds = run.await_shares(2)
        finding(
            f"shared out {seconds:.2f} s after the second instance had started (goal: under 1), on a machine that was "
            f"{machine.worst:.2f} s late"
        )
        limit = 1 + _STEPS_OF_A_JOIN * machine.worst
        if seconds < limit:
            break
        assert second.stop() == 0
        run.await_shares(1)
    run.dismiss_writers()
    run.settle_all()
    run.stop_all()
    assert tell(run.verdict(), finding).is_clean
    assert seconds < limit


@pytest.mark.alone
@pytest.mark.parametrize("offset", ["-1h", "+1h"])
def test_a_database_whose_clock_is_an_hour_off_the_hosts_makes_no_difference(
    offset: str, request: pytest.FixtureRequest, topic: str, finding: Tell
) -> None:
    with private_server(MariaDB(), shifted(offset)) as server:
        bank = Bank(create_engine(server.url, poolclass=NullPool), topic)
        bank.create_tables()
        assert hours_off(bank) == pytest.approx({"-1h": -1, "+1h": 1}[offset], abs=0.05)
        plan = plan_of(bank, topic, "confluent-kafka", application="bank", lease_seconds=2.0)
        run = ClusterRun(request.node.name, bank, plan)
        try:
            victim, _ = run.start_cluster(2)
            run.start_writers()
            with Lateness(bank.engine) as machine:
                victim.kill()
                seconds = run.seconds_until_owned_by_others(owner_of(victim))
            run.dismiss_writers()
            run.settle_all()
            run.stop_all()
            verdict = tell(run.verdict(seconds), finding)
        finally:
            run.close()
        assert verdict.is_clean
        assert 0.5 - machine.worst < seconds < 3 + _STEPS_OF_A_JOIN * machine.worst
        assert bank.count(Status.FAILED) == 0


@on_mariadb
@in_short_and_long
def test_8_producers_and_4_schedulers_meet_no_deadlock(form: str, cluster_run: StartClusterRun, finding: Tell) -> None:
    # So long that no lease runs out because the machine has much to do.
    run = cluster_run(lease_seconds=20.0)
    cluster = run.start_cluster(4)
    run.start_writers(8 if form == "long" else 4, threads=2, breath_seconds=0.02)
    time_is_over = time.monotonic() + (120 if form == "long" else 6)
    cluster[0].wait_for(lambda: time.monotonic() > time_is_over, timeout_seconds=180)
    wrote = run.dismiss_writers()
    run.settle_all()
    run.stop_all()
    verdict = tell(run.verdict(), finding)
    troubles = [
        event
        for scheduler in run.schedulers
        for event in scheduler.of("step failed")
        if not any(sign in event["error"] for sign in _SIGNS_OF_A_STALL)
    ]
    finding(f"  errors that reached a producer: {wrote['errors']}, a scheduler's loop: {len(troubles)}")
    assert wrote["errors"] == 0, wrote
    assert troubles == []
    assert verdict.is_clean
    assert verdict.duplicates == 0


def tell(verdict: Verdict, finding: Tell) -> Verdict:
    finding(verdict)
    finding(verdict.as_json())
    return verdict


def rows_of(run: ClusterRun) -> list[Any]:
    """Return what a late settle could change."""
    tasks = run.bank.outbox.tasks
    columns = (tasks.c.id, tasks.c.status, tasks.c.order_time, tasks.c.retry_count, tasks.c.modified_at)
    with run.bank.engine.connect() as connection:
        return list(connection.execute(select(*columns).order_by(tasks.c.id)))


def shifted(offset: str) -> dict[str, str]:
    """Return the environment of a program whose clock is off; its pauses are as long as anybody's."""
    return {"LD_PRELOAD": str(faketime_library()), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"}


def hours_off(bank: Bank) -> float:
    """Return how far the database's clock is ahead of this host's."""
    with bank.engine.connect() as connection:
        told: datetime = connection.execute(select(database_now())).scalar_one()
    return (told - datetime.now(timezone.utc)).total_seconds() / 3600

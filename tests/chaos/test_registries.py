"""Schedulers that hear of each other by ZooKeeper or Redis, frozen and killed: missed within a session, and fenced."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

import pytest

from tests.chaos.cluster_run import ClusterRun, StartClusterRun, owner_of
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_mariadb
from tests.chaos.process import ProcessUnderTest
from tests.chaos.publishers import AFTER_ACKNOWLEDGEMENT
from tests.support.ensemble import own_ensemble
from tests.support.redis_registry import own_registry

SESSION_SECONDS = 2.0
LEASE_SECONDS = 120.0  # of which nobody waits for the end


def by(registry: str, cluster_run: StartClusterRun) -> ClusterRun:
    if registry == "zookeeper":
        ensemble = own_ensemble()
        where: dict[str, Any] = {"zookeeper": ensemble.hosts, "namespace": ensemble.namespace}
    else:
        redis = own_registry()
        where = {"redis": redis.url, "namespace": redis.namespace}
    return cluster_run(session_seconds=SESSION_SECONDS, lease_seconds=LEASE_SECONDS, **where)


def await_sight(run: ClusterRun, scheduler: ProcessUnderTest) -> None:
    """Wait until a scheduler has seen what it owns: in Redis it tells the others of that then."""

    def sees_all() -> bool:
        owned = sum(owner == owner_of(scheduler) for owner in run.owners().values())
        return bool(scheduler.of("owns")) and scheduler.of("owns")[-1]["shards"] == owned

    scheduler.wait_for(sees_all)


on_each = pytest.mark.parametrize("registry", ["zookeeper", "redis"])


@on_each
@on_mariadb
def test_one_who_is_frozen_or_killed_is_missed_long_before_its_lease_ends_and_settles_nothing_late(
    registry: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = by(registry, cluster_run)
    other, frozen = run.start_scheduler(), run.start_scheduler(die_at=AFTER_ACKNOWLEDGEMENT, die_on=1, die_how="stop")
    for one in (other, frozen):
        one.wait_for(lambda one=one: bool(one.of("started")))  # type: ignore[misc]
    run.await_shares(2)
    run.start_writers()
    frozen.wait_for(lambda: bool(frozen.of("dying")))
    after_freeze = run.seconds_until_owned_by_others(owner_of(frozen))
    frozen.signal(signal.SIGCONT)
    frozen.wait_for(lambda: bool(frozen.of("fenced")))
    held = frozen.of("dying")[0]["records"]
    assert sum(event["tasks"] for event in frozen.of("fenced")) == held
    run.await_shares(2)
    await_sight(run, frozen)
    frozen.kill()
    after_kill = run.seconds_until_owned_by_others(owner_of(frozen))
    assert run.dismiss_writers()["errors"] == 0
    run.settle_all()
    run.stop_all()
    verdict = run.verdict(after_kill)
    finding(f"{verdict}; taken over {after_freeze:.2f} s after it froze, {after_kill:.2f} s after it was killed")
    assert verdict.is_clean
    assert max(after_freeze, after_kill) < LEASE_SECONDS / 2  # on a busy machine; how soon, the long run tells


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.alone
@on_each
@on_mariadb
def test_4_instances_killed_at_random_lose_nothing_and_are_missed_within_a_session_and_a_second(
    registry: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = by(registry, cluster_run)
    cluster = run.start_cluster(4)
    run.start_writers(threads=8, breath_seconds=0.03)
    waits, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        victim = random.randrange(4)
        cluster[victim].wait_for_next_event(random.uniform(0.5, 3.0))
        run.await_shares(4)  # even ones; what is given to one while it dies waits for its lease
        await_sight(run, cluster[victim])
        cluster[victim].kill()
        waits.append(run.seconds_until_owned_by_others(owner_of(cluster[victim])))
        cluster[victim] = run.start_scheduler()
        cluster[victim].wait_for(lambda one=cluster[victim]: bool(one.of("started")))  # type: ignore[misc]
    assert run.dismiss_writers()["errors"] == 0
    run.settle_all()
    run.stop_all()
    verdict = run.verdict(max(waits))
    finding(f"{verdict}; {len(waits)} kills, taken over after {min(waits):.2f} to {max(waits):.2f} s")
    assert verdict.is_clean
    assert max(waits) <= SESSION_SECONDS + 1

"""One process serves many databases: one is killed, one slowed, the others notice nothing; and what 64 cost idle."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

import pytest

from asyncflow import Scheduler
from tests.chaos.findings import Tell
from tests.chaos.many_databases import Arrivals, Shops, Statements, shops_on, steady_load
from tests.unit.scheduler.waiting import eventually
from tools.services.mariadb import MariaDB
from tools.services.postgresql import PostgreSQL
from tools.services.service import Service

LONG = 300.0
pytestmark = pytest.mark.alone


def p99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100)[98]


def steady(shops: Shops, arrivals: Arrivals, names: Sequence[str], seconds: float) -> list[float]:
    """Return the times from a message's writing to its publishing, under a steady load."""
    with steady_load(shops, names, 10):
        time.sleep(seconds / 4)  # until all have warmed up
        before = {name: len(arrivals.seconds[name]) for name in names}
        time.sleep(seconds)
    return [one for name in names for one in arrivals.seconds[name][before[name] :]]


def drained(shops: Shops, arrivals: Arrivals, names: Sequence[str], messages: int) -> float:
    """Return in how many seconds so many messages in each of the databases are written and published."""
    await_all(shops, arrivals, names)
    since = time.monotonic()
    for _ in range(messages // 500):
        for name in names:
            shops.publish(name, 500)
    await_all(shops, arrivals, names)
    return time.monotonic() - since


def await_all(shops: Shops, arrivals: Arrivals, names: Sequence[str]) -> None:
    """Wait until all that was written is published, perhaps more than once."""
    eventually(lambda: all(len(arrivals.seconds[name]) >= shops.written[name] for name in names), LONG)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("service", [MariaDB(), PostgreSQL()], ids=lambda service: service.name)
def test_of_eight_databases_a_killed_and_a_slow_one_cost_the_others_nothing(service: Service, finding: Tell) -> None:
    with shops_on(service, 8) as shops:
        arrivals = Arrivals()
        others = [f"db{number}" for number in range(2, 8)]
        with Scheduler(shops.through, shops.outbox, {"kafka": arrivals}, on_success="delete"):
            waits: dict[bool, list[float]] = {False: [], True: []}
            spent: dict[bool, list[float]] = {False: [], True: []}
            steady(shops, arrivals, others, 5)
            drained(shops, arrivals, others, 10_000)
            for is_hurt in (False, True, True, False) * 3:  # so that what else the machine does concerns both alike
                hurt(shops, is_hurt)
                waits[is_hurt] += steady(shops, arrivals, others, 10)
                spent[is_hurt].append(drained(shops, arrivals, others, 10_000))
            hurt(shops, False)
            shops.publish("db0", 1)
            await_all(shops, arrivals, ["db0", "db1"])
    of_p99, of_throughput = p99(waits[True]) / p99(waits[False]), sum(spent[False]) / sum(spent[True])
    told = {("hurt" if is_hurt else "well"): [round(one, 1) for one in some] for is_hurt, some in spent.items()}
    finding(f"{service.name}: p99 {of_p99:.2f} times, throughput {of_throughput:.2f} times; seconds {told}")
    assert of_p99 < 1.25  # the machine is not ours alone: what it comes to is told
    assert of_throughput > 0.85


def hurt(shops: Shops, is_hurt: bool) -> None:
    """Kill the first database and slow the second one by 200 ms a statement, with work in both; or mend both."""
    killed, slow = shops.proxies["db0"], shops.proxies["db1"]
    killed.refuse(is_hurt)
    if is_hurt:
        killed.reset()
    slow.delay(0.2 if is_hurt else 0.0)
    for name in ("db0", "db1"):
        shops.publish(name, 1)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_sixty_four_idle_databases_cost_few_threads_and_statements(finding: Tell) -> None:
    with shops_on(MariaDB(), 64, ["--max-connections=2000"]) as shops:
        statements, memory = Statements(shops.through), megabytes()
        began = time.monotonic()
        with Scheduler(shops.through, shops.outbox, {"kafka": Arrivals()}) as scheduler:
            eventually(lambda: all(branch.fault() is None for branch in scheduler.branches), LONG)
            took = time.monotonic() - began
            time.sleep(20)  # what is done once is done
            before, since, cpu = statements.count, time.monotonic(), sum(os.times()[:2])
            time.sleep(30)
            seconds = time.monotonic() - since
            each, busy = (statements.count - before) / seconds / 64, (sum(os.times()[:2]) - cpu) / seconds
            ours = sum(thread.name.startswith("asyncflow") for thread in threading.enumerate())
            pools: list[Any] = [engine.pool for engine in shops.through.values()]
            connections = sum(pool.checkedout() for pool in pools)
            finding(
                f"64 databases: all begun in {took:.1f} s, {ours} threads, {connections} connections in use, "
                f"{each:.2f} statements/s each, {busy:.0%} of a CPU with the proxies, {megabytes() - memory:.0f} MB"
            )
            assert ours <= 64 * 4 + 4
            assert each < 6
            assert connections <= 64 * 5


def megabytes() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

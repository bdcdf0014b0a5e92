"""A database that is away, killed or slow holds up itself, and none of the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

import pytest
from sqlalchemy import Engine

from asyncflow.events import SchedulerStarted, StepFailed
from tests.integration.scheduler.branches.several import LONG, Several, several
from tests.support.databases import open_engine
from tests.support.proxy import Proxy, proxy_to
from tests.unit.scheduler.waiting import eventually

QUICK = {"heartbeat_seconds": 0.2, "lease_seconds": 3.0}


class Proxied:
    """Have an application in several databases, and engines for schedulers that lead there through proxies."""

    def __init__(self, spread: Several, until: ExitStack) -> None:
        self.spread = spread
        self.proxies: dict[str, Proxy] = {}
        self.engines: dict[str, Engine] = {}
        for name, engine in spread.engines.items():
            self.proxies[name], url = until.enter_context(proxy_to(engine.url))
            self.engines[name] = open_engine(url)
            until.callback(self.engines[name].dispose)


@pytest.fixture(params=["mariadb", "postgresql"])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    with several(request.param, tmp_path) as spread, ExitStack() as until:
        yield Proxied(spread, until)


def test_one_that_is_away_at_the_start_comes_alive_when_it_is_back(proxied: Proxied) -> None:
    spread = proxied.spread
    proxied.proxies["db0"].refuse()
    spread.publish("db0")
    with spread.scheduler(proxied.engines, **QUICK) as scheduler:
        for name in ("db1", "db2"):
            spread.publish(name)
            spread.wait_for_sent(name, 1)
        failed = spread.signals.wait_for(StepFailed)
        assert (failed.loop, failed.database_name) == ("start", "db0")
        assert spread.sent("db0") == 0
        proxied.proxies["db0"].refuse(False)
        spread.wait_for_sent("db0", 1)
        spread.signals.wait_for(SchedulerStarted, lambda event: event.database_name == "db0")
        eventually(lambda: scheduler.branches.by_name["db0"].fault() is None, LONG)


def test_a_start_waits_not_long_for_one_that_says_nothing(proxied: Proxied) -> None:
    spread = proxied.spread
    proxied.proxies["db0"].stall()
    scheduler = spread.scheduler(proxied.engines, **QUICK)
    began = time.monotonic()
    try:
        scheduler.start()
        assert time.monotonic() - began < 40  # its first try is given longer than that here
        for name in ("db1", "db2"):
            spread.publish(name)
            spread.wait_for_sent(name, 1)
        proxied.proxies["db0"].resume()
        spread.publish("db0")
        spread.wait_for_sent("db0", 1)
    finally:
        proxied.proxies["db0"].resume()
        assert scheduler.stop(60)


def test_one_that_is_killed_at_work_leaves_the_others_and_goes_on_when_it_is_back(proxied: Proxied) -> None:
    spread = proxied.spread
    with spread.scheduler(proxied.engines, **QUICK) as scheduler:
        for name in spread.engines:
            spread.publish(name)
            spread.wait_for_sent(name, 1)
        proxied.proxies["db1"].refuse()
        proxied.proxies["db1"].reset()
        spread.publish("db1")
        spread.signals.wait_for(StepFailed, lambda event: event.database_name == "db1")
        for number in range(2, 12):
            for name in ("db0", "db2"):
                spread.publish(name)
                spread.wait_for_sent(name, number)
        eventually(lambda: scheduler.branches.by_name["db1"].fault() is not None, LONG)
        proxied.proxies["db1"].refuse(False)
        spread.wait_for_sent("db1", 2)
        eventually(lambda: scheduler.branches.by_name["db1"].fault() is None, LONG)
    assert {event.database_name for event in spread.signals.of(StepFailed)} == {"db1"}


def test_a_stop_is_not_held_up_by_one_that_is_away(proxied: Proxied) -> None:
    spread = proxied.spread
    scheduler = spread.scheduler(proxied.engines, **QUICK)
    scheduler.start()
    proxied.proxies["db1"].refuse()
    proxied.proxies["db1"].reset()
    spread.publish("db0")
    spread.wait_for_sent("db0", 1)
    scheduler.stop(60)
    assert spread.publisher.closed
    eventually(lambda: spread.settled("db0") == 1, LONG)


def test_the_others_deliver_as_soon_as_before_beside_a_killed_and_a_slow_one(proxied: Proxied) -> None:
    """The long form, with eight databases and limits, is in the chaos tests; here is what a busy machine keeps."""
    spread = proxied.spread
    with spread.scheduler(proxied.engines, **QUICK):
        for name in spread.engines:
            spread.publish(name)
            spread.wait_for_sent(name, 1)
        before = seconds_each(spread, "db2", 20)
        proxied.proxies["db0"].refuse()
        proxied.proxies["db0"].reset()
        proxied.proxies["db1"].delay(0.2)
        spread.publish("db1", 5)
        beside = seconds_each(spread, "db2", 20)
        spread.wait_for_sent("db1", 6)
        proxied.proxies["db1"].delay(0.0)
        proxied.proxies["db0"].refuse(False)
    assert quantiles(beside, n=4)[1] < 5 * quantiles(before, n=4)[1] + 1.0


def seconds_each(spread: Several, name: str, count: int) -> list[float]:
    """Return how long each of some messages took from its commit to the publisher."""
    found = []
    for _ in range(count):
        sent = spread.sent(name)
        spread.publish(name)
        began = time.monotonic()
        spread.wait_for_sent(name, sent + 1)
        found.append(time.monotonic() - began)
    return found

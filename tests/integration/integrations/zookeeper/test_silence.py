"""An ensemble that is cut off, killed, paused and restarted: nothing hangs, nobody works on what others may have."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from asyncflow.errors import RegistryAwayError
from asyncflow.integrations.zookeeper import ZooKeeper
from asyncflow.scheduler.cluster.registry import Registry
from tests.chaos.private_server import private_server
from tests.integration.integrations.zookeeper.conftest import JOB, Place, view
from tests.support.ensemble import ensemble_hosts, own_ensemble
from tests.support.proxy import Proxy
from tools.services import ports
from tools.services import zookeeper as service
from tools.services.process import wait_until

LONG = 60.0
SESSION_SECONDS = 2.0


@pytest.fixture
def session_seconds() -> float:
    """Give little: it is waited for."""
    return SESSION_SECONDS


@contextmanager
def cut_off(place: Place) -> Iterator[tuple[Proxy, ZooKeeper]]:
    """Give a way to the place's ensemble that can be cut."""
    host, _, port = ensemble_hosts().partition(":")
    with Proxy((host, int(port))) as proxy:
        there = place.ensemble
        yield (
            proxy,
            ZooKeeper(
                f"{ports.LOOPBACK}:{proxy.port}",
                namespace=there.namespace,
                session_timeout_seconds=there.session_timeout_seconds,
                connect_timeout_seconds=1.0,
            ),
        )


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds; what asks an ensemble that is silent takes long."""
    assert wait_until(condition, LONG)


def rests(registry: Registry) -> bool:
    return view(registry).rests_in_seconds <= 0


def test_who_is_cut_off_rests_before_others_may_take_what_it_has_and_comes_back_by_itself(place: Place) -> None:
    with cut_off(place) as (proxy, way):
        a, b = place.member("a", way), place.member("b")
        a.acquire(JOB, [0, 1])
        assert view(a).rests_in_seconds < SESSION_SECONDS
        eventually(lambda: not rests(a))
        proxy.stall()
        until = time.monotonic() + view(a).rests_in_seconds
        eventually(lambda: view(b).items[0].is_free)
        assert time.monotonic() > until
        assert rests(a)
        b.acquire(JOB, [0])
        proxy.resume()
        eventually(lambda: not rests(a))
        assert view(a).owners() == {0: "b", 1: "a"}
        eventually(lambda: view(b).members == ("a", "b"))


def test_a_scheduler_that_is_cut_off_works_on_nothing_and_says_why_until_it_is_back(place: Place) -> None:
    with cut_off(place) as (proxy, way):
        scheduler = place.scheduler(way)
        scheduler.start()
        ownership = scheduler.ownership
        assert ownership.fault() is None
        assert len(ownership.epochs()) == place.application.outbox.shard_count
        proxy.stall()
        eventually(lambda: ownership.epochs() == {})
        assert "leases" in (ownership.fault() or "")
        proxy.reset()
        proxy.resume()
        eventually(lambda: len(ownership.epochs()) == place.application.outbox.shard_count)
        assert set(ownership.epochs().values()) == {1}


def test_nobody_waits_long_for_an_ensemble_that_is_silent_or_not_there(place: Place) -> None:
    nowhere = own_ensemble(f"{ports.LOOPBACK}:{ports.choose()}", connect_timeout_seconds=0.3)
    with cut_off(place) as (proxy, way):
        scheduler = place.scheduler(way)
        scheduler.start()
        proxy.stall()
        for away in (nowhere, way):
            with pytest.raises(RegistryAwayError, match="gave no session within"):
                place.scheduler(away).start()
        owner, began = scheduler.ownership.owner, time.monotonic()
        assert scheduler.stop()
        assert time.monotonic() - began < LONG / 2
        database = place.by_database_alone("looker")
        assert owner not in view(database).members
        assert view(database).owners() == {}
        proxy.resume()


def test_who_comes_and_who_goes_is_told_at_once(place: Place) -> None:
    told = threading.Event()
    place.member("a", changed=told.set)

    def is_told() -> bool:
        heard = told.wait(LONG)
        told.clear()
        return heard

    told.clear()
    b = place.member("b")
    assert is_told()
    view(place.made[0])
    b.leave(JOB)
    assert is_told()


def test_who_came_by_the_database_alone_is_judged_by_its_lease_alone(place: Place) -> None:
    old = place.by_database_alone("old")
    old.join(JOB, 4, is_candidate=True, changed=lambda: None)
    old.acquire(JOB, [0])
    new = place.member("new")
    new.acquire(JOB, [0, 1])
    assert view(new).members == ("new", "old")
    assert view(new).owners() == {0: "old", 1: "new"}
    old.close()


def test_a_server_that_is_killed_or_paused_and_comes_back_changes_no_owner(place: Place) -> None:
    ensemble_hosts()  # its jars are there, then
    with private_server(service.ZooKeeper()) as server:
        ensemble = own_ensemble(server.url, session_timeout_seconds=1.0)
        a, b = place.member("a", ensemble), place.member("b", ensemble)
        a.acquire(JOB, [0, 1])
        b.acquire(JOB, [2, 3])
        before = view(a).items
        pause, go_on = partial(server.signal, signal.SIGSTOP), partial(server.signal, signal.SIGCONT)
        for away, back in ((server.kill, server.start), (pause, go_on)):
            away()
            eventually(lambda: rests(a) and rests(b))
            assert view(a).members == view(b).members == ("a", "b")
            b.acquire(JOB, [0])
            back()
            eventually(lambda: not rests(a) and not rests(b))
        owned = {item: (held.owner, held.epoch) for item, held in view(b).items.items()}
        assert owned == {item: (held.owner, held.epoch) for item, held in before.items()}

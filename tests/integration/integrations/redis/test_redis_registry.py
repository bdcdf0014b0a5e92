"""Who is silent in Redis is missed, and whatever becomes of Redis, nobody works on what others may have."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis
from sqlalchemy import Engine

from asyncflow.errors import RegistryRefusedError
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.scheduler.cluster.signs.board import Sign
from tests.chaos.private_server import PrivateServer
from tests.integration.scheduler.cluster.sign_suite import SignSuite
from tests.support.proxy import Proxy
from tests.support.redis_registry import own_redis, own_registry, redis_at
from tests.support.signing_instances import ITEMS, JOB, SESSION_SECONDS, Instances, owned, view
from tests.unit.scheduler.waiting import eventually
from tools.services import ports
from tools.services.redis import Redis

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def instances(sqlite_engine: Engine) -> Iterator[Instances]:
    instances = Instances(sqlite_engine, own_registry(session_timeout_seconds=SESSION_SECONDS))
    yield instances
    instances.close()


def proxy_to(url: str) -> Proxy:
    return Proxy(Redis().endpoint(url))


def through(proxy: Proxy) -> str:
    return f"redis://{ports.LOOPBACK}:{proxy.port}/0"


def rests(registry: Registry) -> bool:
    return view(registry).rests_in_seconds <= 0


class TestSigns(SignSuite):
    """What holds of every such registry."""


# -- who is silent ---------------------------------------------------------------------------------------


def test_what_a_silent_one_told_that_it_holds_is_free_long_before_its_leases_end(instances: Instances) -> None:
    a, b = instances.member("a"), instances.member("b")
    a.acquire(JOB, [0, 1])
    view(a)
    instances.let_pass(SESSION_SECONDS * 0.8, b)
    assert view(b).members == ("a", "b")
    assert not view(b).items[0].is_free
    instances.let_pass(SESSION_SECONDS * 0.4, b)
    seen = view(b)
    assert seen.members == ("b",)
    assert seen.departed == {"a"}
    assert [seen.items[item].is_free for item in (0, 1)] == [True, True]
    b.acquire(JOB, [0, 1])
    assert owned(b) == {0: ("b", 2), 1: ("b", 2), 2: (None, 0), 3: (None, 0)}


def test_of_one_who_died_holding_what_no_sign_told_that_alone_waits_for_its_lease(instances: Instances) -> None:
    a, b = instances.member("a"), instances.member("b")
    a.acquire(JOB, [0])
    view(a)
    b.acquire(JOB, [1])
    b.hand_over(JOB, [1], "a")  # and then it dies
    instances.let_pass(SESSION_SECONDS * 1.2, b)
    instances.renewed_last("a", SESSION_SECONDS * 1.2)
    seen = view(b)
    assert seen.members == ("b",)
    assert (seen.items[0].is_free, seen.items[1].is_free) == (True, False)


def test_what_is_held_is_told_of_the_sign_that_was_seen_and_of_no_later_one() -> None:
    board = own_registry()._board()
    board.exchange("a", {JOB: Sign("a-0", {0: 1, 2: 7})})
    seen = board.exchange("b", {JOB: Sign("b-0", {})})[JOB]
    assert board.held_by(JOB, seen) == {"a": {0: 1, 2: 7}, "b": {}}
    board.exchange("a", {JOB: Sign("a-1", {0: 2})})
    assert board.held_by(JOB, seen) == {"b": {}}
    board.take_down(JOB, ["a", "b"])
    assert board.held_by(JOB, seen) == {}
    board.close()


def test_what_a_silent_one_took_and_told_nobody_is_its_own_until_its_lease_ends(instances: Instances) -> None:
    a, b = instances.member("a"), instances.member("b")
    a.acquire(JOB, [0])
    view(a)
    a.acquire(JOB, [1])  # and dies before it looks again
    instances.let_pass(SESSION_SECONDS * 1.2, b)
    b.acquire(JOB, [0, 1])
    assert owned(b)[0] == ("b", 2)
    assert owned(b)[1] == ("a", 1)
    assert view(b).members == ("a", "b")


def test_who_came_by_the_database_alone_is_judged_by_its_lease_alone(instances: Instances) -> None:
    old = instances.by_database_alone("old")
    old.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    old.acquire(JOB, [0])
    new = instances.member("new")
    instances.let_pass(SESSION_SECONDS * 2, new)
    new.acquire(JOB, [0, 1])
    assert view(new).members == ("new", "old")
    assert view(new).owners() == {0: "old", 1: "new"}
    old.close()


def test_who_leaves_and_who_died_long_ago_leave_nothing_behind(instances: Instances) -> None:
    a, b, _ = (instances.member(name) for name in "abc")
    b.acquire(JOB, [1])
    view(b)
    b.leave(JOB)
    instances.by_database_alone("c").leave(JOB)  # as the database forgets who is gone for long
    instances.let_pass(SESSION_SECONDS * 1.2, a)
    a.renew()
    with redis.Redis.from_url(redis_at()) as client:
        keys = list(client.scan_iter(f"{instances.registry.namespace}:*"))
        assert len(keys) == 2
        assert [client.hkeys(key) for key in keys] == [[b"a"]] * 2
        assert all(client.ttl(key) > 0 for key in keys)


# -- a Redis that is away --------------------------------------------------------------------------------


def killed(server: PrivateServer) -> Callable[[], None]:
    """Kill a server that keeps nothing on disk; it comes back empty."""
    server.kill()
    return server.start


def paused(server: PrivateServer) -> Callable[[], None]:
    server.signal(signal.SIGSTOP)
    return lambda: server.signal(signal.SIGCONT)


@pytest.mark.parametrize("go_away", [killed, paused])
def test_while_redis_is_away_all_goes_by_leases_and_nobody_loses_anything(
    instances: Instances, go_away: Callable[[PrivateServer], Callable[[], None]]
) -> None:
    with own_redis() as server:
        a, b = (instances.member(name, instances.way(url=server.url)) for name in "ab")
        a.acquire(JOB, [0, 1])
        b.acquire(JOB, [2, 3])
        before = {item: owner for item, (owner, _) in owned(a).items()}
        view(b)
        come_back = go_away(server)
        rested = view(a).rests_in_seconds
        assert 0 < rested < SESSION_SECONDS * 2 / 3
        instances.let_pass(SESSION_SECONDS * 0.8, a, b)
        assert view(a).rests_in_seconds == view(b).rests_in_seconds == math.inf
        assert view(a).members == view(b).members == ("a", "b")
        come_back()
        eventually(lambda: not rests(a) and view(a).rests_in_seconds < math.inf)
        instances.let_pass(SESSION_SECONDS * 2, a, b)
        for one in (a, b):
            one.acquire(JOB, range(ITEMS))
        assert {item: owner for item, (owner, _) in owned(b).items()} == before
        assert view(b).members == ("a", "b")
        instances.let_pass(SESSION_SECONDS * 1.2, b)
        b.acquire(JOB, [0])
        assert owned(b)[0] == ("b", 3)  # of one who has told again what it holds


def test_who_alone_is_cut_off_goes_on_by_its_leases_in_epochs_that_no_sign_told(instances: Instances) -> None:
    with proxy_to(redis_at()) as proxy:
        a, b = instances.member("a", instances.way(url=through(proxy))), instances.member("b")
        a.acquire(JOB, [0, 1])
        view(a)
        view(b)
        proxy.stall()
        instances.let_pass(SESSION_SECONDS, a, b)
        b.acquire(JOB, [0, 1])
        assert owned(b)[0] == owned(b)[1] == ("a", 2)
        assert view(b).members == ("a", "b")
        assert view(b).departed == frozenset()
        assert view(a).rests_in_seconds == math.inf
        proxy.resume()  # and what was sent before arrives now
        proxy.reset()
        eventually(lambda: view(a).rests_in_seconds < math.inf)
        instances.let_pass(SESSION_SECONDS * 1.2, a, b)
        assert owned(b)[0] == ("a", 2)


def test_who_is_cut_off_rests_until_its_epochs_are_new(instances: Instances) -> None:
    with proxy_to(redis_at()) as proxy:
        a = instances.member("a", instances.way(url=through(proxy)))
        a.acquire(JOB, [0])
        view(a)
        proxy.refuse()
        proxy.reset()
        instances.let_pass(SESSION_SECONDS * 0.6, a)
        assert 0 < view(a).rests_in_seconds <= SESSION_SECONDS * 0.1
        assert owned(a)[0] == ("a", 1)
        instances.let_pass(SESSION_SECONDS * 0.2, a)
        assert owned(a)[0] == ("a", 2)


def test_what_is_flushed_is_told_again_and_who_is_silent_then_is_missed(instances: Instances) -> None:
    with own_redis() as server:
        a, b = (instances.member(name, instances.way(url=server.url)) for name in "ab")
        a.acquire(JOB, [0])
        before = owned(a)
        view(b)
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
            client.script_flush()
        instances.let_pass(SESSION_SECONDS * 2, a, b)
        assert owned(b) == before
        assert view(b).members == ("a", "b")
        instances.let_pass(SESSION_SECONDS * 1.2, b)
        assert view(b).items[0].is_free


def test_a_scheduler_begins_without_redis_goes_on_without_it_and_comes_back(instances: Instances) -> None:
    with own_redis() as server:
        server.kill()
        way = instances.way(url=server.url, session_timeout_seconds=2.0)
        scheduler = instances.scheduler(way, heartbeat_seconds=0.2)
        scheduler.start()
        ownership, registry = scheduler.ownership, scheduler.cluster.registry

        def owns_all(least_epoch: int) -> bool:
            epochs = ownership.epochs()
            return len(epochs) == ITEMS and min(epochs.values()) >= least_epoch

        eventually(lambda: owns_all(1))
        server.start()
        eventually(lambda: view(registry).rests_in_seconds < math.inf)
        server.kill()
        eventually(lambda: owns_all(2))
        assert ownership.fault() is None


# -- a Redis that has lost what it acknowledged ----------------------------------------------------------


@pytest.fixture
def pair(instances: Instances) -> Iterator[tuple[PrivateServer, PrivateServer, Proxy]]:
    """Give a server, its replica, and the network between them."""
    with ExitStack() as stack:
        first = stack.enter_context(own_redis("--repl-diskless-sync-delay", "0"))
        between = stack.enter_context(proxy_to(first.url))
        second = stack.enter_context(own_redis("--replicaof", ports.LOOPBACK, str(between.port)))
        with redis.Redis.from_url(second.url) as client:
            eventually(lambda: client.info("replication")["master_link_status"] == "up")
        yield first, second, between


def has_signs(server: PrivateServer, *names: str) -> bool:
    with redis.Redis.from_url(server.url) as client:
        return all(set(names) <= {name.decode() for name in client.hkeys(key)} for key in client.scan_iter()) and bool(
            client.dbsize()
        )


def promote(server: PrivateServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("NO", "ONE")


def test_a_failover_that_loses_the_last_signs_costs_nobody_anything(
    instances: Instances, pair: tuple[PrivateServer, PrivateServer, Proxy]
) -> None:
    first, second, between = pair
    with proxy_to(first.url) as proxy:
        way = instances.way(url=through(proxy))
        a, b = instances.member("a", way), instances.member("b", way)
        a.acquire(JOB, [0])
        view(a)
        eventually(lambda: has_signs(second, "a", "b"))
        between.stall()
        c = instances.member("c", way)
        c.acquire(JOB, [1])
        instances.let_pass(SESSION_SECONDS * 0.2, a, b, c)
        before = owned(a)
        proxy.switch_to(Redis().endpoint(second.url))
        first.kill()
        proxy.reset()
        promote(second)
        assert not has_signs(second, "c")
        instances.let_pass(SESSION_SECONDS * 2, a, b, c)
        b.acquire(JOB, [0, 1])
        assert owned(b) == before
        assert view(b).members == ("a", "b", "c")
        assert has_signs(second, "c")


def test_two_redis_that_take_writes_let_items_change_hands_once_and_not_again_and_again(
    instances: Instances, pair: tuple[PrivateServer, PrivateServer, Proxy]
) -> None:
    first, second, between = pair
    with proxy_to(first.url) as proxy:
        a, b = (
            instances.member("a", instances.way(url=first.url)),
            instances.member("b", instances.way(url=through(proxy))),
        )
        a.acquire(JOB, [0, 1])
        b.acquire(JOB, [2, 3])
        for one in (a, b):
            view(one)
        eventually(lambda: has_signs(second, "a", "b"))
        between.stall()
        proxy.switch_to(Redis().endpoint(second.url))
        proxy.reset()
        promote(second)
        instances.let_pass(SESSION_SECONDS * 1.2, a, b)
        for one in (b, a):
            one.acquire(JOB, range(ITEMS))
        after = owned(a)
        assert max(epoch for _, epoch in after.values()) == 2
        for _ in range(3):
            instances.let_pass(SESSION_SECONDS * 1.2, a, b)
            for one in (b, a):
                one.acquire(JOB, range(ITEMS))
        assert owned(a) == after
        assert view(a).members == view(b).members == ("a", "b")


# -- who may come in -------------------------------------------------------------------------------------


def test_who_is_not_let_in_is_told_so_at_the_start_and_leaves_nothing(instances: Instances) -> None:
    with own_redis() as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "secret")
        for url in (server.url, server.url.replace("redis://", "redis://:wrong@")):
            with pytest.raises(RegistryRefusedError, match="Redis at 127"):
                instances.member("a", instances.way(url=url))
        assert view(instances.by_database_alone("looker")).members == ()
        instances.member("b", instances.way(url=server.url.replace("redis://", "redis://:secret@")))

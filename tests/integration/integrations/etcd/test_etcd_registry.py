"""Who is silent in etcd is missed, and whatever becomes of etcd, nobody works on what others may have."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from asyncflow.errors import RegistryRefusedError
from tests.chaos.private_server import PrivateServer
from tests.integration.scheduler.cluster.sign_suite import SignSuite
from tests.support.etcd_registry import client_of, etcd_at, expire, own_etcd, own_registry, texts_below
from tests.support.proxy import Proxy
from tests.support.signing_instances import ITEMS, JOB, SESSION_SECONDS, Instances, owned, view
from tests.unit.scheduler.waiting import eventually
from tools.services import ports
from tools.services.etcd import Etcd

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def instances(sqlite_engine: Engine) -> Iterator[Instances]:
    instances = Instances(sqlite_engine, own_registry(session_timeout_seconds=SESSION_SECONDS))
    yield instances
    instances.close()


def proxy_to(url: str) -> Proxy:
    return Proxy(Etcd().endpoint(url))


def through(proxy: Proxy) -> str:
    return f"http://{ports.LOOPBACK}:{proxy.port}"


class TestSigns(SignSuite):
    def expire(self, instances: Instances, name: str) -> None:
        """Let its lease in etcd run out."""
        expire(instances.registry, JOB, name)


# -- who is silent ---------------------------------------------------------------------------------------


def test_what_a_silent_one_told_that_it_holds_is_free_long_before_its_leases_end(instances: Instances) -> None:
    a, b = instances.member("a/1"), instances.member("b")
    a.acquire(JOB, [0, 1])
    view(a)
    instances.let_pass(SESSION_SECONDS * 2, b)
    assert view(b).members == ("a/1", "b")  # its lease in etcd runs on
    expire(instances.registry, JOB, "a/1")
    instances.let_pass(SESSION_SECONDS * 0.4, b)
    assert not view(b).items[0].is_free
    instances.let_pass(SESSION_SECONDS * 0.6, b)
    seen = view(b)
    assert seen.members == ("b",)
    assert seen.departed == {"a/1"}
    b.acquire(JOB, [0, 1])
    assert owned(b) == {0: ("b", 2), 1: ("b", 2), 2: (None, 0), 3: (None, 0)}


def test_a_lease_that_nobody_renews_ends_and_its_sign_with_it(instances: Instances) -> None:
    brief = instances.way(session_timeout_seconds=4.0)
    a, b = instances.member("a", brief), instances.member("b")
    a.acquire(JOB, [0])
    view(a)
    assert view(b).members == ("a", "b")
    eventually(lambda: f"/{JOB}/signs/a" not in texts_below(instances.registry))
    assert texts_below(instances.registry)[f"/{JOB}/held/a"] == "0:1"
    view(a)
    assert f"/{JOB}/signs/a" in texts_below(instances.registry)


def test_renewals_leave_no_trace_in_the_history(instances: Instances) -> None:
    with own_etcd() as server:
        a = instances.member("a", instances.way(urls=server.url))
        a.acquire(JOB, [0, 1])
        view(a)

        def revision() -> int:
            return int(client_of(server.url).status()["header"]["revision"])

        before = revision()
        for _ in range(20):
            view(a)
        assert revision() == before


def test_whose_keys_were_deleted_by_hand_is_there_again_with_its_next_looks(instances: Instances) -> None:
    a, b = instances.member("a"), instances.member("b")
    a.acquire(JOB, [0])
    view(a)
    client_of(instances.registry.urls).delete_prefix(f"/{instances.registry.namespace}/")
    assert "a" in view(b).members
    for _ in range(2):
        view(a)
    texts = texts_below(instances.registry)
    assert texts[f"/{JOB}/held/a"] == "0:1"
    assert f"/{JOB}/signs/a" in texts


def test_who_leaves_and_who_died_long_ago_leave_nothing_behind(instances: Instances) -> None:
    a, b, _ = (instances.member(name) for name in "abc")
    b.acquire(JOB, [1])
    view(b)
    b.leave(JOB)
    instances.by_database_alone("c").leave(JOB)  # as the database forgets who is gone for long
    expire(instances.registry, JOB, "c")
    instances.let_pass(SESSION_SECONDS * 1.2, a)
    a.renew()
    assert set(texts_below(instances.registry)) == {f"/{JOB}/signs/a", f"/{JOB}/held/a"}


# -- an etcd that is away --------------------------------------------------------------------------------


def killed(server: PrivateServer) -> Callable[[], None]:
    server.kill()
    return server.start


def paused(server: PrivateServer) -> Callable[[], None]:
    server.signal(signal.SIGSTOP)
    return lambda: server.signal(signal.SIGCONT)


@pytest.mark.parametrize("go_away", [killed, paused])
def test_while_etcd_is_away_all_goes_by_leases_and_nobody_loses_anything(
    instances: Instances, go_away: Callable[[PrivateServer], Callable[[], None]]
) -> None:
    with own_etcd() as server:
        a, b = (instances.member(name, instances.way(urls=server.url)) for name in "ab")
        a.acquire(JOB, [0, 1])
        b.acquire(JOB, [2, 3])
        before = {item: owner for item, (owner, _) in owned(a).items()}
        view(b)
        come_back = go_away(server)
        assert 0 < view(a).rests_in_seconds < SESSION_SECONDS * 2 / 3
        instances.let_pass(SESSION_SECONDS * 0.6, a, b)
        assert view(a).rests_in_seconds == view(b).rests_in_seconds == math.inf
        assert view(a).members == view(b).members == ("a", "b")
        come_back()
        for one in (a, b):
            eventually(lambda one=one: view(one).rests_in_seconds < math.inf)  # type: ignore[misc]
        instances.let_pass(SESSION_SECONDS * 2, a, b)
        for one in (a, b):
            one.acquire(JOB, range(ITEMS))
        assert {item: owner for item, (owner, _) in owned(b).items()} == before
        assert view(b).members == ("a", "b")


def test_who_alone_is_cut_off_goes_on_by_its_leases_in_epochs_that_no_sign_told(instances: Instances) -> None:
    with proxy_to(etcd_at()) as proxy:
        a, b = instances.member("a", instances.way(urls=through(proxy))), instances.member("b")
        a.acquire(JOB, [0, 1])
        view(a)
        view(b)
        proxy.stall()
        expire(instances.registry, JOB, "a")
        instances.let_pass(SESSION_SECONDS, a, b)
        b.acquire(JOB, [0, 1])
        assert owned(b)[0] == owned(b)[1] == ("a", 2)
        assert view(b).members == ("a", "b")
        assert view(a).rests_in_seconds == math.inf
        proxy.resume()
        proxy.reset()
        eventually(lambda: view(a).rests_in_seconds < math.inf)
        instances.let_pass(SESSION_SECONDS * 1.2, a, b)
        assert owned(b)[0] == ("a", 2)
        expire(instances.registry, JOB, "a")
        instances.let_pass(SESSION_SECONDS * 1.2, b)
        assert view(b).items[0].is_free


def test_of_several_members_another_one_is_asked_when_one_is_away(instances: Instances) -> None:
    nowhere = f"http://{ports.LOOPBACK}:{ports.choose()}"
    a = instances.member("a", instances.way(urls=f"{nowhere}, {etcd_at()}"))
    a.acquire(JOB, [0])
    assert view(a).rests_in_seconds < math.inf
    assert texts_below(instances.registry)[f"/{JOB}/held/a"] == "0:1"


# -- who may come in -------------------------------------------------------------------------------------


def test_who_is_not_let_in_is_told_so_at_the_start_and_leaves_nothing(instances: Instances) -> None:
    with own_etcd() as server:
        client = client_of(server.url)
        for path, body in (
            ("/auth/user/add", {"name": "root", "password": "secret"}),
            ("/auth/role/add", {"name": "root"}),
            ("/auth/user/grant", {"user": "root", "role": "root"}),
            ("/auth/enable", {}),
        ):
            client.post(client.get_url(path), json=body)
        with pytest.raises(RegistryRefusedError, match="etcd at http://127"):
            instances.member("a", instances.way(urls=server.url))
        assert view(instances.by_database_alone("looker")).members == ()

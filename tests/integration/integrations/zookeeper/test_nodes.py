"""What stands in ZooKeeper: as ElasticJob's console reads it, protected, and nothing of it for ever."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from asyncflow.errors import RegistryAwayError
from tests.integration.integrations.zookeeper.conftest import ITEMS, JOB, SESSION_SECONDS, Place, view
from tests.support.ensemble import expire, looking, own_ensemble, texts_below


def test_the_nodes_are_those_that_elasticjobs_console_reads(place: Place) -> None:
    name = place.ensemble.instance_name()
    host, _, rest = name.partition("@-@")
    assert host == socket.gethostname()
    assert rest
    a = place.member(name)
    a.acquire(JOB, [0, 2])
    view(a)
    texts = texts_below(place.ensemble)
    assert texts == {
        "": "",
        "/outbox": "",
        "/outbox/config": f'jobName: "outbox"\nshardingTotalCount: {ITEMS}\ndescription: asyncflow\n',
        "/outbox/servers": "",
        f"/outbox/servers/{host}": "ENABLED",
        "/outbox/instances": "",
        f"/outbox/instances/{name}": f'jobInstanceId: "{name}"\nserverIp: "{host}"\n',
        "/outbox/sharding": "",
        "/outbox/sharding/0": "",
        "/outbox/sharding/0/instance": name,
        "/outbox/sharding/2": "",
        "/outbox/sharding/2/instance": name,
        "/outbox/asyncflow": "",
        f"/outbox/asyncflow/{name}": "",
    }
    with looking() as client:
        root = f"/{place.ensemble.namespace}/outbox"
        ephemeral = {path for path in texts if client.exists(f"/{place.ensemble.namespace}{path}").ephemeralOwner}
        assert ephemeral == {f"/outbox/instances/{name}"}
        assert client.get_children(f"{root}/instances") == [name]


def test_an_owner_is_told_by_whoever_has_it_by_now(place: Place) -> None:
    a, b = place.member("a@-@1"), place.member("b@-@1")
    a.acquire(JOB, [0, 1])
    view(a)
    a.hand_over(JOB, [1], "b@-@1")
    view(b)
    view(a)
    texts = texts_below(place.ensemble)
    assert [texts[f"/outbox/sharding/{item}/instance"] for item in (0, 1)] == ["a@-@1", "b@-@1"]


def test_who_leaves_and_who_died_long_ago_leave_nothing_behind_but_the_job(place: Place) -> None:
    a, b, c = (place.member(f"{name}@-@1") for name in "abc")
    b.acquire(JOB, [1])
    view(b)
    b.leave(JOB)
    c.close()
    place.by_database_alone("c@-@1").leave(JOB)  # as the database forgets who is gone for long
    view(a)
    a.renew()
    texts = texts_below(place.ensemble)
    assert {path for path in texts if "@-@" in path} == {"/outbox/instances/a@-@1", "/outbox/asyncflow/a@-@1"}
    assert [path for path in texts if path.startswith("/outbox/servers/")] == ["/outbox/servers/a"]
    assert "b@-@1" not in texts.values()


def test_a_description_that_is_somebody_elses_stays(place: Place) -> None:
    with looking() as client:
        client.create(f"/{place.ensemble.namespace}/{JOB}/config", b"jobName: theirs", makepath=True)
    place.member("a")
    assert texts_below(place.ensemble)["/outbox/config"] == "jobName: theirs"


def test_whose_nodes_were_deleted_by_hand_is_there_again_with_its_next_look(place: Place) -> None:
    a, b = place.member("a"), place.member("b")
    a.acquire(JOB, [0])
    view(a)
    with looking() as client:
        client.delete(f"/{place.ensemble.namespace}", recursive=True)
    assert "a" in view(b).members  # of whom ZooKeeper knows nothing, the database does
    assert not view(b).items[0].is_free
    view(a)
    assert texts_below(place.ensemble)["/outbox/sharding/0/instance"] == "a"
    expire(place.ensemble, JOB, "a")
    assert view(b).items[0].is_free


def test_nodes_of_one_who_logs_in_are_closed_to_others(place: Place) -> None:
    log_in: dict[str, Any] = {"auth_data": [("digest", "flow:secret")]}
    closed = own_ensemble(session_timeout_seconds=SESSION_SECONDS, client_options=log_in)
    place.member("a", closed)
    with looking(**log_in) as client:
        acls, _ = client.get_acls(f"/{closed.namespace}/outbox/config")
        assert [(acl.id.scheme, acl.id.id.partition(":")[0]) for acl in acls] == [("digest", "flow")]
    stranger = own_ensemble(session_timeout_seconds=SESSION_SECONDS)
    stranger = type(stranger)(closed.hosts, namespace=closed.namespace, session_timeout_seconds=SESSION_SECONDS)
    with pytest.raises(RegistryAwayError, match="NoAuth"):
        place.member("b", stranger)
    assert "b" not in view(place.member("c", closed)).members


def test_below_a_chroot_all_is_as_without_one(place: Place) -> None:
    below = own_ensemble(session_timeout_seconds=SESSION_SECONDS)
    chroot = f"/{below.namespace}-root"
    with looking() as client:
        client.create(chroot)
    rooted = type(below)(below.hosts + chroot, namespace="a/b", session_timeout_seconds=SESSION_SECONDS)
    a, b = place.member("a", rooted), place.member("b", rooted)
    a.acquire(JOB, [0])
    expire(rooted, JOB, "a")
    assert view(b).items[0].is_free
    with looking() as client:
        assert client.get_children(f"{chroot}/a/b/outbox/instances") == ["b"]

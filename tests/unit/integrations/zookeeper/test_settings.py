"""What leads nowhere is refused before anything connects; names that ZooKeeper could not hold are encoded."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.errors import MissingExtraError, OptionError, UnknownOptionError
from asyncflow.integrations.zookeeper import ZooKeeper
from asyncflow.integrations.zookeeper.tree import Tree, host_of, name_of
from asyncflow.outbox.tables.lengths import OWNER_LENGTH


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("hosts", ""),
        ("hosts", None),
        ("hosts", "zk1:2181,zk2:port"),
        ("hosts", "zk1:2181,"),
        ("hosts", "zk1:0"),
        ("hosts", "zk1:70000/chroot"),
        ("hosts", ":2181"),
        ("namespace", ""),
        ("namespace", "/rooted"),
        ("namespace", "a//b"),
        ("namespace", "zookeeper"),
        ("namespace", None),
        ("session_timeout_seconds", 0.5),
        ("session_timeout_seconds", 60),
        ("session_timeout_seconds", True),
        ("connect_timeout_seconds", 0),
        ("connect_timeout_seconds", "10"),
    ],
)
def test_what_leads_nowhere_is_refused_by_its_name(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=option):
        ZooKeeper(**{"hosts": "zk:2181", option: value})


@pytest.mark.parametrize("hosts", ["zk1", "zk1:2181, zk2:2181", "zk1:2181,zk2:2181/one/chroot", "[::1]:2181", "[::1]"])
def test_hosts_are_taken_as_text(hosts: str) -> None:
    assert ZooKeeper(hosts).hosts == hosts


def test_an_option_of_the_client_that_is_none_or_is_ours_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownOptionError, match="use_ssl"):
        ZooKeeper("zk:2181", client_options={"use_tls": True})
    with pytest.raises(UnknownOptionError, match="timeout"):
        ZooKeeper("zk:2181", client_options={"timeout": 3})


def test_a_heart_that_beats_too_rarely_for_the_session_is_refused() -> None:
    with pytest.raises(
        OptionError, match=r"heartbeat_seconds is 0\.8; give at most a quarter of session_timeout_seconds"
    ):
        ZooKeeper("zk:2181", session_timeout_seconds=3.0).make(database(0.8))


def test_without_the_client_library_the_line_that_mends_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kazoo", None)
    with pytest.raises(MissingExtraError, match=r'pip install "asyncflow-outbox\[zookeeper\]"'):
        ZooKeeper("zk:2181").make(database(0.8))


def test_a_password_is_not_shown() -> None:
    shown = repr(ZooKeeper("zk:2181", client_options={"auth_data": [("digest", "user:secret")]}))
    assert "secret" not in shown


def test_names_of_instances_are_elasticjobs_and_fit_the_column(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = ZooKeeper("zk:2181")
    assert maker.instance_name() != maker.instance_name()
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 300)
    name = maker.instance_name()
    assert len(name) == OWNER_LENGTH
    assert set(host_of(name)) == {"h"}


@pytest.mark.parametrize("name", ["a/b", ".", "..", "ünïcode", "100%", "a b", "\x00\x7f", "host@-@1-ff"])
def test_a_job_of_any_name_is_one_node(name: str) -> None:
    *above, node = Tree("space").instances("job", name).split("/")
    assert above == ["", "space", "job", "instances"]
    assert node not in (".", "..")
    assert node.isascii()
    assert node.isprintable()
    assert name_of(node) == name


def database(heartbeat_seconds: float) -> Any:
    return SimpleNamespace(rhythm=SimpleNamespace(heartbeat_seconds=heartbeat_seconds, clock=float), instance="a")

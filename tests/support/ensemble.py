"""The ZooKeeper of a test run, and what tests look at and do there past the registry."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from asyncflow.integrations.zookeeper import ZooKeeper
from asyncflow.integrations.zookeeper.tree import Tree
from tools.services import load


def ensemble_hosts() -> str:
    """Return where the ensemble is; skips aloud without one."""
    hosts = load().zookeeper_hosts
    if hosts is None:
        pytest.skip('zookeeper is not up: `make services SERVICES="zookeeper"` brings it up')
    return hosts


def own_ensemble(hosts: str | None = None, **options: Any) -> ZooKeeper:
    """Return a part of the ensemble that no other test uses."""
    name = f"asyncflow-test-{os.getpid()}-{secrets.token_hex(4)}"
    return ZooKeeper(hosts or ensemble_hosts(), namespace=name, **options)


@contextmanager
def looking(hosts: str | None = None, **options: Any) -> Iterator[Any]:
    """Give a client of one's own."""
    from kazoo.client import KazooClient

    client = KazooClient(hosts or ensemble_hosts(), **options)
    client.start(timeout=60)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def expire(ensemble: ZooKeeper, job: str, instance: str) -> None:
    """Delete the node of an instance, as the end of its session does."""
    with looking(ensemble.hosts) as client:
        client.delete(Tree(ensemble.namespace).instances(job, instance))


def texts_below(ensemble: ZooKeeper) -> dict[str, str]:
    """Return the texts of all nodes of a test, by their paths below its namespace."""
    with looking(ensemble.hosts) as client:
        root = f"/{ensemble.namespace}"
        found: dict[str, str] = {}
        paths = [root]
        while paths:
            path = paths.pop()
            paths += [f"{path}/{child}" for child in client.get_children(path)]
            found[path.removeprefix(root)] = client.get(path)[0].decode()
        return found

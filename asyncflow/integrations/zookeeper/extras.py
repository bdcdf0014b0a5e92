"""Import the optional client, or say how to get it."""

from __future__ import annotations

from types import ModuleType

from asyncflow.extra_libraries import library


def kazoo() -> ModuleType:
    """Return the module ``kazoo`` with its client; raise MissingExtraError when it is not installed."""
    for module in ("kazoo.security", "kazoo.client"):
        library(module, "ZooKeeper", "zookeeper", "kazoo")
    return library("kazoo", "ZooKeeper", "zookeeper")

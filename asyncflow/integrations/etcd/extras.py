"""Import the optional client, or say how to get it."""

from __future__ import annotations

from types import ModuleType

from asyncflow.extra_libraries import library


def etcd3gw() -> ModuleType:
    """Return the module ``etcd3gw``; raise MissingExtraError when it is not installed."""
    return library("etcd3gw", "EtcdRegistry", "etcd")

"""Import the optional client, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError


def etcd3gw() -> ModuleType:
    """Return the module ``etcd3gw``; raise MissingExtraError when it is not installed."""
    try:
        return import_module("etcd3gw")
    except ImportError as error:
        line = 'pip install "asyncflow-outbox[etcd]"'
        raise MissingExtraError(f"EtcdRegistry needs the library etcd3gw, which is not installed: {line}") from error

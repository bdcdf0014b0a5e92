"""Import the optional client, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError


def kazoo() -> ModuleType:
    """Return the module ``kazoo`` with its client; raise MissingExtraError when it is not installed."""
    try:
        import_module("kazoo.security")
        import_module("kazoo.client")
        return import_module("kazoo")
    except ImportError as error:
        line = 'pip install "asyncflow-outbox[zookeeper]"'
        raise MissingExtraError(f"ZooKeeper needs the library kazoo, which is not installed: {line}") from error

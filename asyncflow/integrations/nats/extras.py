"""Import the optional clients, or say how to get them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError
from asyncflow.extra_libraries import library


def nats_py(wanted_by: str = "NatsPublisher") -> ModuleType:
    """Return the module ``nats``; raise MissingExtraError when it is not installed."""
    return library("nats", wanted_by, "nats", "nats-py")


def require_nkeys(option: str) -> None:
    """Raise MissingExtraError when the library is not installed by which nats-py signs with a key."""
    try:
        import_module("nkeys")
    except ImportError as error:
        line = 'pip install "nats-py[nkeys]"'
        raise MissingExtraError(f"{option} needs the library nkeys, which is not installed: {line}") from error

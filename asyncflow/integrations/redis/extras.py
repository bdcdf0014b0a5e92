"""Import the optional client, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError


def redis_py(wanted_by: str = "RedisPublisher") -> ModuleType:
    """Return the module ``redis``; raise MissingExtraError when it is not installed."""
    try:
        return import_module("redis")
    except ImportError as error:
        line = 'pip install "asyncflow-outbox[redis]"'
        raise MissingExtraError(f"{wanted_by} needs the library redis, which is not installed: {line}") from error

"""Import the optional client, or say how to get it."""

from __future__ import annotations

from types import ModuleType

from asyncflow.extra_libraries import library


def redis_py(wanted_by: str = "RedisPublisher") -> ModuleType:
    """Return the module ``redis``; raise MissingExtraError when it is not installed."""
    return library("redis", wanted_by, "redis")

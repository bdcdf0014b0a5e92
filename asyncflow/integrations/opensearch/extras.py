"""Import the optional client, or say how to get it."""

from __future__ import annotations

from types import ModuleType

from asyncflow.extra_libraries import library


def httpx() -> ModuleType:
    """Return the module ``httpx``; raise MissingExtraError when it is not installed."""
    return library("httpx", "OpenSearchPublisher", "opensearch")

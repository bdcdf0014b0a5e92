"""Import the optional client, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError


def httpx() -> ModuleType:
    """Return the module ``httpx``; raise MissingExtraError when it is not installed."""
    try:
        return import_module("httpx")
    except ImportError as error:
        line = 'pip install "asyncflow-outbox[opensearch]"'
        raise MissingExtraError(
            f"OpenSearchPublisher needs the library httpx, which is not installed: {line}"
        ) from error

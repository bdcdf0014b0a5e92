"""Import the optional client, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asyncflow.errors import MissingExtraError


def prometheus_client() -> Any:
    """Return the module ``prometheus_client``; raise MissingExtraError when it is not installed."""
    return _import("prometheus_client")


def metrics_core() -> Any:
    """Return its module of what collectors give; raise MissingExtraError when it is not installed."""
    return _import("prometheus_client.metrics_core")


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            "metrics need the library prometheus_client, which is not installed: "
            'pip install "asyncflow-outbox[prometheus]"'
        ) from error

"""Import the optional client, or say how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.extra_libraries import library


def prometheus_client() -> Any:
    """Return the module ``prometheus_client``; raise MissingExtraError when it is not installed."""
    return _import("prometheus_client")


def metrics_core() -> Any:
    """Return its module of what collectors give; raise MissingExtraError when it is not installed."""
    return _import("prometheus_client.metrics_core")


@contextmanager
def registering(kind: str) -> Iterator[None]:
    """Raise OptionError where the registry has these metrics already: prometheus_client names each, and no remedy."""
    try:
        yield
    except ValueError as error:
        raise OptionError(
            f"the registry has the metrics of another {kind} already; share that one, or give this one a registry of "
            f"its own: {kind}(CollectorRegistry())"
        ) from error


def _import(name: str) -> Any:
    return library(name, "asyncflow.integrations.prometheus", "prometheus", "prometheus_client")

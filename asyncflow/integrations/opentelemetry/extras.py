"""Import the optional API, or say how to get it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from asyncflow.errors import MissingExtraError


@cache
def opentelemetry(name: str) -> Any:
    """Return a module of the API, such as ``trace``; raise MissingExtraError when it is not installed."""
    try:
        return import_module(f"opentelemetry.{name}")
    except ImportError as error:
        raise MissingExtraError(
            "traces and metrics need the library opentelemetry-api, which is not installed: "
            'pip install "asyncflow-outbox[opentelemetry]"'
        ) from error

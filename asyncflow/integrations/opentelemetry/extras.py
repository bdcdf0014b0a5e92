"""Import the optional API, or say how to get it."""

from __future__ import annotations

from functools import cache
from typing import Any

from asyncflow.extra_libraries import library

_NAME = "opentelemetry"


@cache
def opentelemetry(name: str) -> Any:
    """Return a module of the API, such as ``trace``; raise MissingExtraError when it is not installed."""
    return library(f"opentelemetry.{name}", "asyncflow.integrations.opentelemetry", _NAME, f"{_NAME}-api")

"""What the command line has of libraries for people: rich for colours and progress, shtab for completion."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asyncflow.extra_libraries import library


def rich_module(name: str) -> Any | None:
    """Return a module of rich; None where it is not installed, for text is plain then."""
    try:
        return import_module(f"rich.{name}")
    except ImportError:
        return None


def shtab() -> Any:
    """Return the module ``shtab``; raise MissingExtraError when it is not installed."""
    return library("shtab", "completion", "cli")

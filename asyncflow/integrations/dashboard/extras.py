"""Import the optional libraries, or say how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asyncflow.errors import MissingExtraError


def require_extra() -> None:
    """Raise MissingExtraError unless the libraries of the pages are installed."""
    for name in ("starlette", "jinja2"):
        _import(name)


def a2wsgi() -> Any:
    """Return the module ``a2wsgi``; raise MissingExtraError when it is not installed."""
    return _import("a2wsgi")


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f'the dashboard needs the library {name}, which is not installed: pip install "asyncflow-outbox[dashboard]"'
        ) from error

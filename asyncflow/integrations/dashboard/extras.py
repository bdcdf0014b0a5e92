"""Import the optional libraries, or say how to get them."""

from __future__ import annotations

from typing import Any

from asyncflow.extra_libraries import library

_WANTED_BY = "the dashboard"


def require_extra() -> None:
    """Raise MissingExtraError unless the libraries of the pages are installed."""
    for name in ("starlette", "jinja2"):
        library(name, _WANTED_BY, "dashboard")


def a2wsgi() -> Any:
    """Return the module ``a2wsgi``; raise MissingExtraError when it is not installed."""
    return library("a2wsgi", _WANTED_BY, "dashboard")

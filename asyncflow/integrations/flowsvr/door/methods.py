"""The methods that a path takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import Request
from starlette.routing import Match, Route


def methods_of(request: Request) -> list[str]:
    """Return the methods of all routes that the request's path leads to."""
    found: set[str] = set()
    for route in _flat(request.app.router.routes):
        match, _ = route.matches({**request.scope, "method": "-"})
        if match is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)


def _flat(routes: Iterable[Any]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route

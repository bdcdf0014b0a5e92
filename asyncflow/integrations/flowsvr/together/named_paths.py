"""Paths that name a database: ``/databases/db0/v2/tasks`` is ``/v2/tasks`` of that one alone."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

DATABASE = "asyncflow.database"  # of a request's scope: the name that its path has
_PREFIX = "/databases/"


def parted(path: str) -> tuple[str | None, str]:
    """Return the name that a path has, None if it has none, and the path behind it."""
    if not path.startswith(_PREFIX):
        return None, path
    name, slash, rest = path[len(_PREFIX) :].partition("/")
    return name, slash + rest


class NamedPaths:
    """Let each route be asked of one database, too, by its name before the path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            name, path = parted(scope["path"])
            if name is not None:
                scope.setdefault("state", {})  # shared with who is told of the request
                scope = {**scope, "path": path, DATABASE: name}
        await self._app(scope, receive, send)

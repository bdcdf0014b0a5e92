"""The address of who is connected: never what a header says."""

from __future__ import annotations

from starlette.requests import Request


def address_of(request: Request) -> str:
    """Return the address; empty if the server tells none."""
    if request.client is not None:
        return str(request.client.host)
    return str(request.scope.get("wsgi_environ", {}).get("REMOTE_ADDR", ""))

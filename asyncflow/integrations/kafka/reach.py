"""Look whether a broker is there at all, before a client is built that would try for as long as it may."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from time import monotonic


def reach_any(servers: Iterable[tuple[str, int, object]], deadline: float) -> None:
    """Return once a server accepts a connection; raise the last OSError if none does by ``deadline``."""
    last_error = OSError("no server was tried in time")
    for host, port, _family in servers:
        try:
            socket.create_connection((host, port), timeout=max(0.001, deadline - monotonic())).close()
        except OSError as error:
            last_error = OSError(f"{host}:{port}: {error}")
        else:
            return
    raise last_error

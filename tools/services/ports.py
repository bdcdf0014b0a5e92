"""Free TCP ports of the loopback interface."""

from __future__ import annotations

import random
import socket

from tools.services.errors import ServiceError

LOOPBACK = "127.0.0.1"
ATTEMPTS = 200

# Below the range that the kernel takes outgoing connections from: a client could be given the port of a
# service that is down, and then the service could not come back, or the client would be connected to itself.
_RANGE = range(20_000, 32_000)


def choose(former: int | None = None) -> int:
    """Return the former port if it is one of ours and free, else another free one."""
    if former and former in _RANGE and is_free(former):
        return former
    port = next(filter(is_free, random.sample(_RANGE, k=ATTEMPTS)), None)
    if port is None:
        raise ServiceError(f"{ATTEMPTS} ports of {LOOPBACK} were tried and all are taken: what listens there?")
    return port


def is_free(port: int) -> bool:
    """Tell whether nothing listens on a port."""
    with socket.socket() as candidate:
        # Connections of a service that was killed linger; only a listener makes a port taken.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except OSError:
            return False
    return True

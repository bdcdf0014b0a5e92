"""Addresses where no broker is: a port that refuses every connection, and one that accepts and never answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

_LOOPBACK = "127.0.0.1"


@contextmanager
def refusing() -> Iterator[str]:
    """Give an address that is held by nobody who listens, so that nobody else can come to listen there."""
    with socket.socket() as held:
        held.bind((_LOOPBACK, 0))
        yield _address_of(held)


@contextmanager
def silent() -> Iterator[str]:
    """Give an address that takes every connection and says nothing."""
    with socket.socket() as listener:
        listener.bind((_LOOPBACK, 0))
        listener.listen(128)
        taken: list[socket.socket] = []
        thread = threading.Thread(target=_take_all, args=(listener, taken))
        thread.start()
        try:
            yield _address_of(listener)
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
            thread.join()
            for connection in taken:
                connection.close()


DEAD_PORTS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "refusing": refusing,
    "silent": silent,
}


def _take_all(listener: socket.socket, taken: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            taken.append(listener.accept()[0])


def _address_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()
    return f"{host}:{port}"

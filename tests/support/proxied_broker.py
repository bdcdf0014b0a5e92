"""A broker behind a proxy, by which the suite of publishers takes it away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit

from asyncflow.testing.publisher_suite import BrokerUnderTest
from tests.support.proxy import CuttingProxy

MAX_BYTES = 100_000


class ProxiedBroker(BrokerUnderTest):
    """Lead publishers to the broker at ``url`` through a proxy; a subclass makes them, and looks at it past that."""

    def __init__(self, url: str, make_proxy: type[CuttingProxy] = CuttingProxy) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.proxy = make_proxy((parts.hostname, parts.port))
        self.url = url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{self.proxy.port}")

    def close(self) -> None:
        self.proxy.close()

    def bytes_too_many(self) -> int:
        return MAX_BYTES + 1

    @contextmanager
    def away(self) -> Iterator[None]:
        self.proxy.refuse()
        self.proxy.reset()
        yield
        self.proxy.refuse(False)

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.proxy.stall()
        yield
        self.proxy.resume()

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.proxy.delay(0.25)
        yield
        self.proxy.delay(0.0)

    @contextmanager
    def answers_lost(self) -> Iterator[None]:
        self.proxy.keeps_answers = True
        yield
        self.proxy.reset()
        self.proxy.keeps_answers = False

    @contextmanager
    def cut_after(self, count_bytes: int) -> Iterator[None]:
        self.proxy.cuts_after = count_bytes
        yield
        self.proxy.cuts_after = None

    def own_sockets(self) -> int:
        """Return how many connections of this process lead to the proxy."""
        return sum(map(partial(_leads_to, self.proxy.port), map(int, os.listdir("/proc/self/fd"))))


def _leads_to(port: int, number: int) -> bool:
    try:
        one = socket.socket(fileno=number)
    except OSError:  # it is no socket
        return False
    try:
        return bool(one.getpeername()[1:2] == (port,))
    except (OSError, TypeError):  # it is not connected, or not of TCP
        return False
    finally:
        one.detach()  # whose it is closes it

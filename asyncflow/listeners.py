"""Listeners: the small HTTP servers of a process, whose clients can neither hold its files nor its threads."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

_LOG = logging.getLogger("asyncflow")
MOST_CLIENTS = 32  # at once, each with a thread; and as many more that are sent away and have not noticed yet
_SILENCE_SECONDS = 5.0  # of a client


class BoundedServer(ThreadingMixIn, HTTPServer):
    """Answer each client on a thread; one client too many takes the place of another.

    That is the first that has not asked yet, or else the first of all: a probe that asks at once is answered however
    many connect and say nothing. Its own threads use it, one lock guards what is known of clients.

    Raises OSError, OverflowError or UnicodeError for an address that cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 2 * MOST_CLIENTS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._silent: dict[Any, None] = {}  # clients that have not asked yet
        self._asked: dict[Any, None] = {}
        self._leaving: set[Any] = set()
        self.address_family = _family_of(address[0])
        super().__init__(address, handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let a client in, in place of another if there are too many; False if there is no room even so."""
        with self._lock:
            if len(self._silent) + len(self._asked) >= MOST_CLIENTS:
                if len(self._leaving) >= MOST_CLIENTS:
                    return False
                self._send_away(next(iter(self._silent or self._asked)))
            self._silent[request] = None
        return True

    def has_asked(self, request: Any) -> None:
        """Know that a client has sent what it asks for; one that was sent away stays so."""
        with self._lock:
            if request in self._silent:
                del self._silent[request]
                self._asked[request] = None

    def close_request(self, request: Any) -> None:
        """Forget a client."""
        with self._lock:
            self._silent.pop(request, None)
            self._asked.pop(request, None)
            self._leaving.discard(request)
        super().close_request(request)

    def _send_away(self, client: Any) -> None:
        """End a connection, for its thread to notice; it is not closed before that thread says so, under the lock."""
        self._silent.pop(client, None)
        self._asked.pop(client, None)
        self._leaving.add(client)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Tell a fault in the log; a client that did not wait for its answer is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            _LOG.exception("A request could not be answered")


class Answering(BaseHTTPRequestHandler):
    """Answer one request to a BoundedServer; made by it, for each."""

    server: BoundedServer
    timeout = _SILENCE_SECONDS

    def parse_request(self) -> bool:
        """Read what is asked for, and let the listener know that it was."""
        is_one = super().parse_request()
        self.server.has_asked(self.connection)
        return is_one

    def version_string(self) -> str:
        """Tell nobody which software this is."""
        return "asyncflow"

    def log_message(self, *_: Any) -> None:
        """Log no probe."""


def _family_of(host: str) -> socket.AddressFamily:
    """Return the family of a host's addresses: IPv4 where it has one, as a name of this machine usually has both."""
    found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    families = [one[0] for one in found]
    return socket.AF_INET if socket.AF_INET in families else families[0]

"""The line to a database server, which a watch cuts if nothing comes of it for too long."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from asyncflow.outbox.lines.driver_sockets import cut_lines_of, hides_its_socket, socket_of

_LOGGER = logging.getLogger("asyncflow")
_LOOK_SECONDS = 0.2
_KEEPALIVE = {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}


class Line:
    """Watch over one connection, from its check-out to its return; used by one thread at a time.

    A driver that waits for an answer waits for ever, if nothing tells it that none will come: a firewall that forgot
    the connection, a host that is gone. Shutting the socket down from outside ends the wait in every driver.
    """

    def __init__(self, driver_connection: Any) -> None:
        self.was_cut = False
        self._socket = socket_of(driver_connection)
        self._is_hidden = self._socket is None and hides_its_socket(driver_connection)
        self._thread = threading.current_thread()
        self._lock = threading.Lock()
        self._ends_at = float("inf")
        self._seconds = float("inf")
        self._before = _keep_alive(self._socket) if self._socket is not None else {}
        if self._socket is not None or self._is_hidden:
            WATCH.add(self)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Cut the line if the block takes longer; what it waits for then raises the driver's error."""
        self._seconds, self._thread = seconds, threading.current_thread()
        self.begin_anew()
        try:
            yield
        finally:
            with self._lock:  # a cut that has begun ends before the block does
                self._ends_at = float("inf")

    def begin_anew(self) -> None:
        """Count the seconds of the block from now on: something came of it, so it is slow and not silent."""
        self._ends_at = time.monotonic() + self._seconds

    def cut_if_late(self, now: float) -> None:
        """Shut the socket down if its time is over; called by the watch."""
        if now < self._ends_at:
            return
        with self._lock:
            if now < self._ends_at:
                return
            if self._socket is not None:
                self.was_cut = True
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            elif self._is_hidden and cut_lines_of(self._thread):
                self.was_cut = True

    def close(self) -> None:
        """Leave the socket as it was found, and watch it no more."""
        WATCH.discard(self)
        with self._lock:
            line, self._socket, self._is_hidden = self._socket, None, False
        if line is not None:
            for (level, option), value in self._before.items():
                with suppress(OSError):
                    line.setsockopt(level, option, value)
            line.close()


def _keep_alive(line: socket.socket) -> dict[tuple[int, int], int]:
    """Let the kernel find out whether the other side is there; return the options as they were."""
    before: dict[tuple[int, int], int] = {}
    if line.family not in (socket.AF_INET, socket.AF_INET6):
        return before
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
        if option is not None:
            with suppress(OSError):  # not on this system
                before[level, option] = line.getsockopt(level, option)
                line.setsockopt(level, option, value)
    return before


class Cuttable(Protocol):
    """Be cut when it is late."""

    def cut_if_late(self, now: float) -> None:
        """End what is waited for if its time is over; ``now`` is on the monotonic clock."""


class Watch:
    """Look after all that may be cut in this process, on one thread, which is there while there is any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: set[Cuttable] = set()
        self._thread: threading.Thread | None = None
        self._has_told = False
        # A child has none of its parent's threads, and its lines are not its own to cut.
        os.register_at_fork(after_in_child=self._begin_anew)

    def add(self, line: Cuttable) -> None:
        """Look after it, from any thread, until ``discard``; raises RuntimeError if the system gives no thread."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="asyncflow-lines", daemon=True)
                thread.start()  # raises where the system gives no more threads; the next line asks again
                self._thread = thread
            self._lines.add(line)

    def discard(self, line: Cuttable) -> None:
        """Look after it no more."""
        with self._lock:
            self._lines.discard(line)

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                lines = list(self._lines)
                if not lines:
                    self._thread = None
                    return
            now = time.monotonic()
            for line in lines:
                try:
                    line.cut_if_late(now)
                except Exception as error:  # noqa: BLE001 - the others are to be ended all the same
                    self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Tell of the first: what cannot be looked at is looked at again in a moment."""
        if not self._has_told:
            self._has_told = True
            _LOGGER.error("A connection that may be silent could not be looked at", exc_info=error)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._lines, self._thread = set(), None


WATCH = Watch()

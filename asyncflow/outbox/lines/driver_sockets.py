"""The sockets of the drivers' connections, found where each driver keeps its own."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, repeat
from types import FrameType
from typing import Any

from asyncflow.outbox.lines.garbage_pause import GarbagePause
from asyncflow.outbox.lines.kernel_waits import KernelWait

_GARBAGE = GarbagePause()
# Here drivers wait inside C, and what for only the kernel knows: as they connect; and mysqlclient at each call, for it
# tells no other thread the socket of a connection that is at work. That of mysql-connector tells nobody at all.
_HIDES_ITS_SOCKET = "mysql.connector.connection_cext"
_WAIT_IN_C = ("psycopg2", "MySQLdb.connections", _HIDES_ITS_SOCKET)
_TELL_NO_OTHER = "MySQLdb"
# Where drivers in Python keep theirs: pg8000, whose _sock is a buffer before it; mysql-connector; PyMySQL.
_KEPT_AS = ("_usock", "_socket", "sock", "_sock")
_OF_CONNECTIONS = frozenset(
    {"pymysql.connections", "mysql.connector.connection", "mysql.connector.network", "pg8000.core"}
)


def socket_of(driver_connection: Any) -> socket.socket | None:
    """Return a socket of our own on the connection's line, which the caller closes; None if it has none to be found.

    PyMySQL, mysqlclient, mysql-connector, psycopg, psycopg2 and pg8000 are known; for one that hides it see
    ``hides_its_socket``. With others, and SQLite, there is nothing to watch.
    """
    number = _number_of(driver_connection)
    if number is None:
        return None
    try:
        # Of our own, for the driver's number may be somebody else's file by the time that we use it.
        copy = os.dup(number)
    except OSError:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:  # it is no socket
        os.close(copy)
        return None


def hides_its_socket(driver_connection: Any) -> bool:
    """Tell whether a connection waits in C, and for what is known only while it does: ``cut_lines_of`` finds it."""
    return type(driver_connection).__module__ == _HIDES_ITS_SOCKET


@dataclass(frozen=True)
class _Wait:
    """Know where a thread waits: in which frame, and at which place of it."""

    thread: threading.Thread
    top: FrameType
    place: int

    @classmethod
    def of(cls, thread: threading.Thread) -> _Wait | None:
        """Return where a thread is now; None if it has ended."""
        top = _frame_of(thread)
        return None if top is None else cls(thread, top, top.f_lasti)

    def lasts(self) -> bool:
        """Tell whether the thread has not gone on meanwhile."""
        return _frame_of(self.thread) is self.top and self.top.f_lasti == self.place and self.thread.is_alive()


def _frame_of(thread: threading.Thread) -> FrameType | None:
    return sys._current_frames().get(thread.ident or 0)


def cut_lines_of(thread: threading.Thread) -> bool:
    """Shut down the connections whose answer a thread waits for, also in the middle of connecting; tell of any.

    Nobody else may know such a connection yet: the frames of its driver and of SQLAlchemy are where it can be found.
    """
    was_cut = False
    if (wait := _Wait.of(thread)) is None:
        return was_cut
    for candidate in _candidates(wait):
        line = socket_of(candidate)
        if line is not None:
            with line, suppress(OSError):
                # Asked with the line in hand: before, its number may have become that of what the thread does next.
                if _is_of(line, candidate) and wait.lasts():
                    line.shutdown(socket.SHUT_RDWR)
                    was_cut = True
    return was_cut


def _is_of(line: socket.socket, candidate: Any) -> bool:
    """Tell whether a line is still the candidate's, of which the kernel may tell another one by now."""
    return not isinstance(candidate, KernelWait) or os.path.sameopenfile(candidate.fileno(), line.fileno())


def _number_of(connection: Any) -> int | None:
    if isinstance(connection, int):
        return connection
    with suppress(Exception):  # closed meanwhile, or not of the kind that it looks like
        number = _innermost(connection).fileno()
        return number if isinstance(number, int) and number >= 0 else None
    return None


def _innermost(owner: Any) -> Any:
    """Return what has the number of the socket: the connection, or what it keeps."""
    kept = (getattr(owner, name, None) for name in _KEPT_AS)
    inner = next((one for one in kept if one is not None), None)
    return owner if inner is None else _innermost(inner)


def _candidates(wait: _Wait) -> list[Any]:
    """Return what may be connections in the frames of a thread that waits; nothing if it has gone on meanwhile."""
    found = list(_found_in(_frames_below(wait.top)))
    if _waits_in_c(wait.top.f_globals.get("__name__", ""), found):
        found.append(KernelWait(wait.thread.ident or 0))
    return found if wait.lasts() else []


def _waits_in_c(module: str, found: Iterable[Any]) -> bool:
    if module.startswith("sqlalchemy."):  # it has called the driver directly
        return any(type(one).__module__.startswith(_TELL_NO_OTHER) for one in found)
    return module in _WAIT_IN_C


def _frames_below(top: FrameType) -> list[FrameType]:
    """Return a frame and those that it was called by.

    In one call of C, in the middle of which no other thread runs: a walk through frames that change crashes CPython,
    or never ends. What follows the outermost frame is None, which has no ``f_back``.
    """
    frames: list[Any] = []
    with _GARBAGE.paused(), suppress(AttributeError):
        frames.extend(accumulate(repeat("f_back"), getattr, initial=top))
    return [frame for frame in frames if frame is not None]


def _found_in(frames: Iterable[FrameType]) -> Iterator[Any]:
    for frame in frames:
        module, code = frame.f_globals.get("__name__", ""), frame.f_code
        names = code.co_varnames + code.co_cellvars
        if "dbapi_connection" in names:  # of SQLAlchemy, which asks whether it still lives, or ends its transaction
            yield frame.f_locals.get("dbapi_connection")
        if module.startswith("sqlalchemy.") and "cursor" in names:  # of which something is asked
            cursor = frame.f_locals.get("cursor")
            yield getattr(cursor, "_c", None) or getattr(cursor, "connection", None)  # pg8000 warns of the latter
        if module in _OF_CONNECTIONS and "self" in names:
            yield frame.f_locals.get("self")
        if module == "pg8000.core" and "sock" in names:  # as it connects
            yield frame.f_locals.get("sock")
        if module.startswith("psycopg") and "fileno" in names:
            yield frame.f_locals.get("fileno")

"""The sockets of the drivers' connections, found where each driver keeps its own."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

from asyncflow.scheduler.connections.one_turn import OneTurn

_TURN = OneTurn()


def socket_of(driver_connection: Any) -> socket.socket | None:
    """Return a socket of our own on the connection's line, which the caller closes; None if it has none to be found.

    PyMySQL, mysqlclient, psycopg and psycopg2 are known; with others, and SQLite, there is nothing to watch.
    """
    number = _number_of(driver_connection)
    if number is None:
        return None
    try:
        # Of our own, for the driver's number may be somebody else's file by the time that we use it.
        return socket.socket(fileno=os.dup(number))
    except OSError:
        return None


def cut_lines_of(thread: int) -> bool:
    """Shut down the connections whose answer a thread waits for, also in the middle of connecting; tell of any.

    Nobody else may know such a connection yet: the frames of its driver and of SQLAlchemy are where it can be found.
    """
    was_cut = False
    for candidate in _candidates(thread):
        line = socket_of(candidate)
        if line is not None:
            with line, suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
                was_cut = True
    return was_cut


def _number_of(connection: Any) -> int | None:
    if isinstance(connection, int):
        return connection
    with suppress(Exception):  # closed meanwhile, or not of the kind that it looks like
        inner = getattr(connection, "_sock", None)  # PyMySQL
        owner = inner if inner is not None else connection
        number = owner.fileno()
        return number if isinstance(number, int) and number >= 0 else None
    return None


def _candidates(thread: int) -> list[Any]:
    """Return what may be connections in the frames of a thread, all of them before any is cut: then it goes on.

    Frames that change in the middle of a walk crash CPython.
    """
    with _TURN.taken():
        return list(_found_in(sys._current_frames().get(thread)))


def _found_in(frame: FrameType | None) -> Iterator[Any]:
    while frame is not None:
        names = frame.f_locals
        module = frame.f_globals.get("__name__", "")
        if "dbapi_connection" in names:  # of SQLAlchemy, which asks whether it still lives, or ends its transaction
            yield names["dbapi_connection"]
        if module.startswith("sqlalchemy.") and "cursor" in names:  # of which something is asked
            yield getattr(names["cursor"], "connection", None)
        if module == "pymysql.connections" and "self" in names:
            yield names["self"]
        if module.startswith("psycopg") and "fileno" in names:
            yield names["fileno"]
        frame = frame.f_back

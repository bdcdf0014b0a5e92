"""Locking what nobody else has locked, also on servers without SKIP LOCKED: there row by row, and by memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from asyncflow.errors import RowsLockedError
from asyncflow.forks import leave_at_fork
from asyncflow.outbox.dialects import dialect_of

_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 2.0, 16.0  # each try of a locked row waits for its lock
_FORGOTTEN_SECONDS = 600.0

# Locks rows of those given, stepping over locked ones if so told; returns what is locked by us now.
LockRows = Callable[[Connection, Collection[Any], bool], Sequence[Any]]


class LockMet(RowsLockedError):  # noqa: N818 - no failure: the database itself catches it
    """Somebody holds the lock of a row, which was waited for; ``untried`` are those that were to come after it."""

    def __init__(self, kind: str, row: Hashable, untried: Sequence[Hashable]) -> None:
        super().__init__(f"somebody holds the lock of a row of {kind}")
        self.kind = kind
        self.row = row
        self.untried = untried


class _Met(NamedTuple):
    """Tell until when a locked row is left out, and how long that is."""

    until: float
    pause: float


class _Memory:
    """Remember the rows that were found locked, each until it is to be tried again; used by any thread."""

    def __init__(self) -> None:
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Remember nothing in the child of a fork, where nobody gives back a lock that a thread of the parent had."""
        self._lock = threading.Lock()
        self._met: dict[tuple[str, Hashable], _Met] = {}

    def left_out(self, kind: str, rows: Iterable[Hashable]) -> set[Hashable]:
        """Return those of the rows that are not to be tried yet."""
        with self._lock:
            now = time.monotonic()
            found = ((row, self._met.get((kind, row))) for row in rows)
            return {row for row, met in found if met is not None and met.until > now}

    def note(self, kind: str, rows: Iterable[Hashable]) -> None:
        """Leave the rows out for a while, each time for longer."""
        with self._lock:
            now = time.monotonic()
            self._met = {row: met for row, met in self._met.items() if met.until > now - _FORGOTTEN_SECONDS}
            for row in rows:
                before = self._met.get((kind, row))
                pause = _SHORTEST_PAUSE_SECONDS if before is None else min(2 * before.pause, _LONGEST_PAUSE_SECONDS)
                self._met[kind, row] = _Met(now + pause, pause)

    def forget(self, kind: str, rows: Iterable[Hashable]) -> None:
        """Know that the rows were free."""
        with self._lock:
            for row in rows:
                self._met.pop((kind, row), None)


_memories: WeakKeyDictionary[Engine, _Memory] = WeakKeyDictionary()


def lock_those_free(connection: Connection, kind: str, rows: Collection[Any], lock: LockRows) -> Sequence[Any]:
    """Lock those of the rows that nobody else has locked, and return what ``lock`` returns for them.

    Raises LockMet where the server cannot step over rows and one of them is locked; done again, it is left out.
    """
    dialect = dialect_of(connection.dialect.name)
    if not rows:
        return []
    if dialect.skips_locked(connection.dialect) or not dialect.locks_rows:
        return lock(connection, rows, True)
    memory, wanted = _memory_of(connection.engine), sorted(rows)
    left_out = memory.left_out(kind, wanted)
    free = [row for row in wanted if row not in left_out]
    locked: list[Any] = []
    # One by one: whatever names several may scan the table, and waits for rows that are not wanted.
    for number, row in enumerate(free):
        try:
            locked += lock(connection, [row], False)
        except DBAPIError as error:
            if not dialect.is_lock_wait(error):
                raise
            raise LockMet(kind, row, free[number + 1 :]) from error
    memory.forget(kind, free)
    return locked


def leave_out(engine: Engine, met: LockMet, *, untried: bool) -> None:
    """Leave out the row that is locked from now on, and those that were ``untried`` as well, if so told."""
    _memory_of(engine).note(met.kind, [met.row, *met.untried] if untried else [met.row])


def _memory_of(engine: Engine) -> _Memory:
    return _memories.setdefault(engine, _Memory())

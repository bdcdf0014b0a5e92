"""Rows of tasks that are settled for good, as look-ups by id have read them: no settle can make them untrue."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row

from asyncflow.outbox.status import Status

FOR_GOOD = frozenset({Status.SUCCESS, Status.CANCELLED})  # a FAILED one may be replayed
_BYTES_A_ROW = 2000  # beside its texts


class SettledRow(NamedTuple):
    """Hold a whole row, and when it was asked for, on the clock of who keeps it."""

    row: Row[Any]
    asked_at: float
    size: int


class SettledRows:
    """Keep rows up to a number of bytes, those alone that were looked at last; thread-safe.

    One is told for no longer than ``most_seconds`` after it was read: so long may one be that was deleted meanwhile.
    """

    def __init__(self, most_bytes: int, most_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._rows: OrderedDict[UUID, SettledRow] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, task_id: UUID) -> SettledRow | None:
        """Return a row that is kept, if it may still be told."""
        with self._lock:
            kept = self._rows.get(task_id)
            if kept is None:
                return None
            if self.clock() - kept.asked_at > self._most_seconds:
                self._drop(task_id)
                return None
            self._rows.move_to_end(task_id)
            return kept

    def keep(self, row: Row[Any], asked_at: float) -> None:
        """Keep a row that was asked for then, if it is settled for good and not too large; drop the longest unseen."""
        size = _BYTES_A_ROW + sum(map(_bytes_of, row))
        if row.status not in FOR_GOOD or size > self._most_bytes:
            return
        with self._lock:
            self._drop(row.id)
            self._rows[row.id] = SettledRow(row, asked_at, size)
            self._bytes += size
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._rows)))

    def _drop(self, task_id: UUID) -> None:
        dropped = self._rows.pop(task_id, None)
        if dropped is not None:
            self._bytes -= dropped.size


def _bytes_of(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogatepass"))
    return len(value) if isinstance(value, bytes) else 0

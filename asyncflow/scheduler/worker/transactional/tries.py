"""Tries: how often the transaction of a handler is run within an attempt, where it lost against another one."""

from __future__ import annotations

import random

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects import dialect_of

_MOST = 8
_FIRST_SECONDS, _LONGEST_SECONDS = 0.02, 0.5


class Tries:
    """Count the tries of one attempt; used by the thread or on the loop on which its handler runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lost = 0

    def pause_after(self, error: Exception) -> float | None:
        """Return how long to wait before the transaction is run again; None if the error is the attempt's.

        A database that gives one of two transactions up, as it does in a deadlock and at SERIALIZABLE, says nothing of
        either. One that is given up each time is an attempt in the end.
        """
        if not self._has_lost(error):
            return None
        self._lost += 1
        if self._lost == _MOST:
            return None
        seconds: float = min(_FIRST_SECONDS * 2**self._lost, _LONGEST_SECONDS) * random.uniform(0.5, 1)
        return seconds

    def _has_lost(self, error: Exception) -> bool:
        its = dialect_of(self._engine.dialect.name)
        if not isinstance(error, DBAPIError) or not its.locks_rows:  # SQLite has waited for its one lock already
            return False
        return its.is_contention(error) and not its.is_lock_wait(error)

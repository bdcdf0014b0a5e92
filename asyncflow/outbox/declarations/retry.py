"""Retry policies: how long a task waits after each failed attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

_CHANCES = 64  # tasks with one wait share a statement: in a crowd each may not have its own


def _chance() -> float:
    """Return one of a few numbers from 0 up to 1."""
    return random.randrange(_CHANCES) / _CHANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Let the wait grow by ``factor`` with each failure, up to a ceiling.

    A factor of 2 doubles it (1, 2, 4, 8, 10, 10 … seconds for 1 and a ceiling of 10), 1 keeps it fixed, any other is
    exponential. ``jitter`` is the part of a wait, from 0 to 1, that chance may take away.
    """

    interval_seconds: float = 1.0
    max_interval_seconds: float = 10.0
    factor: float = 2.0
    jitter: float = 0.0

    def delay(self, failures: int, chance: Callable[[], float] = _chance) -> float:
        """Return the seconds to wait after failure number ``failures`` (1 for the first)."""
        if not self.interval_seconds:
            return 0.0
        try:
            grown = self.interval_seconds * self.factor ** (failures - 1)
        except OverflowError:
            grown = self.max_interval_seconds
        delay = min(grown, self.max_interval_seconds)
        return delay * (1 - self.jitter * chance()) if self.jitter else delay


def is_spent(attempts: int, max_retries: int) -> bool:
    """Tell whether no retry is left after so many attempts: the first one is none."""
    return attempts > max_retries

"""How long to leave a service alone that did not answer, or asked for it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

_MOST_DOUBLINGS = 20


class Backoff:
    """Pause after each failure, twice as long each time up to a ceiling, with jitter; any thread may use it.

    The service's own Retry-After goes before a shorter pause.
    """

    def __init__(
        self, shortest: float, longest: float, chance: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._shortest = shortest
        self._longest = max(shortest, longest)
        self._chance = chance
        self._failures = 0
        self._until = 0.0  # on the monotonic clock

    def after(self, error: Exception) -> float:
        """Begin a pause; return its seconds."""
        longest = min(self._shortest * 2 ** min(self._failures, _MOST_DOUBLINGS), self._longest)
        # Jitter, so that workers that lost the service together do not come back together.
        pause = self._chance(longest / 2, longest)
        asked_for: float | None = getattr(error, "retry_after_seconds", None)
        if asked_for is not None:
            pause = max(pause, self._chance(asked_for, asked_for * 1.1))
        self._failures += 1
        self._until = time.monotonic() + pause
        return pause

    def reset(self) -> None:
        """Take in that the service answers."""
        self._failures, self._until = 0, 0.0

    def seconds_left(self) -> float:
        """Return how long the pause still lasts, 0 if it is over."""
        return max(0.0, self._until - time.monotonic())

"""How many tasks of a type may go now, where its declaration sets a rate."""

from __future__ import annotations

import time
from collections.abc import Callable


class RateLimit:
    """Fill a bucket with tokens at a rate, up to a second's worth; one thread uses it.

    Source: the token bucket, as in RFC 2697.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = 1.0
        self._filled_at = clock()

    def allowance(self, per_second: float) -> int:
        """Return how many may go now, at this rate since the last call."""
        now = self._clock()
        # Never below one: with a rate of 0.1 a second, the tenth second's token must fit in.
        self._tokens = min(max(per_second, 1.0), self._tokens + (now - self._filled_at) * per_second)
        self._filled_at = now
        return int(self._tokens)

    def take(self, count: int) -> None:
        """Spend tokens."""
        self._tokens -= count

    def seconds_until_next(self, per_second: float) -> float:
        """Return how long until one may go."""
        return max(0.0, (1.0 - self._tokens) / per_second)

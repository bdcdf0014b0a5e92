"""The circuit breaker of one destination, or of one topic there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
TellChange = Callable[[str, float, str], None]


class Breaker:
    """Keep relays away from an unreachable destination; lives as long as they do.

    Whose turn it is to publish reports; any thread of those that share the destination asks how long to stay away.
    Opens at the first report of ``unavailable``. After a pause, which doubles from ``pause_seconds`` up to
    ``longest_seconds``, it is half-open: one probe may pass. The clock is this process's monotonic one.
    ``tell`` is called with each change: the state, the seconds until a probe, the error.
    """

    def __init__(
        self,
        tell: TellChange,
        pause_seconds: float,
        longest_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = CLOSED
        self._tell = tell
        self._first = self._pause = pause_seconds
        self._longest = max(pause_seconds, longest_seconds)
        self._clock = clock
        self._probe_at = 0.0
        self._lock = threading.Lock()

    def seconds_until_probe(self) -> float:
        """Return 0 if work may pass, or how long to stay away; an open breaker whose pause is over half-opens."""
        if self.state != OPEN:
            return 0.0
        with self._lock:  # of several that come to know at once, one tells
            wait = self._probe_at - self._clock()
            if wait > 0:
                return wait
            if self.state == OPEN:
                self._change(HALF_OPEN, 0.0, "")
        return 0.0

    def available(self) -> None:
        """Report that the destination answered."""
        if self.state != CLOSED:
            self._pause = self._first
            self._change(CLOSED, 0.0, "")

    def unavailable(self, error: str, at_least_seconds: float = 0.0) -> None:
        """Report that the destination could not be reached; stay away ``at_least_seconds``."""
        pause, self._pause = max(self._pause, at_least_seconds), min(self._pause * 2, self._longest)
        self._probe_at = self._clock() + pause
        self._change(OPEN, pause, error)

    def _change(self, state: str, retry_in_seconds: float, error: str) -> None:
        self.state = state
        self._tell(state, retry_in_seconds, error)

"""The pace of a replay: when how many tasks come due."""

from __future__ import annotations

import time

from asyncflow.outbox.clock import MAX_DELAY_SECONDS

_STEP_SECONDS = 0.1  # tasks that are replayed at a rate come due together in steps of it


class Pace:
    """Spread tasks over time from now on, ``per_second`` of them; None lets all be due at once."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._began = time.monotonic()

    def delays(self, done: int, count: int) -> list[float]:
        """Return the delays in seconds of the ``count`` tasks behind the first ``done``, in whole steps."""
        if self._per_second is None:
            return [0.0] * count
        passed = time.monotonic() - self._began
        due = (number / self._per_second - passed for number in range(done, done + count))
        return [min(MAX_DELAY_SECONDS, max(0.0, -(-seconds // _STEP_SECONDS) * _STEP_SECONDS)) for seconds in due]

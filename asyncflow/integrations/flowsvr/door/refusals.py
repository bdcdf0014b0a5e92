"""Requests without a known token: counted, told of, and slowed."""

from __future__ import annotations

import asyncio
import logging
import time

from asyncflow.integrations.flowsvr.door.problems import one_line

_LOG = logging.getLogger("asyncflow.flowsvr")
_FREE = 10  # of them a second, answered at once
_SLOW_SECONDS = 1.0
_MOST_SLOWED = 50  # at once: whoever waits takes a connection
_TELL_SECONDS = 10.0


class Refusals:
    """Know how many requests came without a known token; lives as long as its application, one event loop uses it.

    Only those are slowed: whoever has a token is answered at once, whatever others do from the same address.
    """

    def __init__(self) -> None:
        self.count = 0
        self._untold = 0
        self._told_at = -_TELL_SECONDS
        self._second = 0
        self._in_second = 0
        self._slowed = 0

    async def note(self, method: str, path: str, address: str) -> None:
        """Count one, tell of all since the last line now and then, and return late if there are many."""
        self.count += 1
        self._untold += 1
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            text = "%d requests without a known token; the last was %s %s from %s"
            _LOG.warning(text, self._untold, one_line(method), one_line(path), one_line(address))
            self._untold, self._told_at = 0, now
        if self._is_one_too_many(int(now)) and self._slowed < _MOST_SLOWED:
            self._slowed += 1
            try:
                await asyncio.sleep(_SLOW_SECONDS)
            finally:
                self._slowed -= 1

    def _is_one_too_many(self, second: int) -> bool:
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > _FREE

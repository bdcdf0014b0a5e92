"""How long a consumer waits for a broker or a database that is away."""

from __future__ import annotations


class GrowingPause:
    """Wait twice as long each time, up to ``most_seconds``, until something went well; used by one thread."""

    def __init__(self, first_seconds: float, most_seconds: float) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._next = first_seconds

    def take(self) -> float:
        """Return the seconds of this pause; the next is longer."""
        seconds, self._next = self._next, min(2 * self._next, self._most)
        return seconds

    def begin_anew(self) -> None:
        """Know that something went well."""
        self._next = self._first

"""How long a relay waits when it found nothing, and how much it takes when it finds much."""

from __future__ import annotations


class AdaptivePause:
    """Double the pause with each fruitless look, from ``shortest`` up to ``longest`` seconds."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = max(shortest, longest)
        self._next = shortest

    def reset(self) -> None:
        """Begin again with the shortest pause: there was work, or a commit announced some."""
        self._next = self._shortest

    def after_nothing(self, seconds_until_due: float) -> float:
        """Return the pause after a fruitless look; no longer than until the next task is due."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return max(self._shortest, min(pause, seconds_until_due))


class RoundSize:
    """Choose how many rows a round may read, so that their payloads stay within ``most_bytes``.

    Grows from a small first round by doubling: how large a row is, only reading tells.
    """

    _FIRST = 100

    def __init__(self, most_rows: int, most_bytes: int) -> None:
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self.rows = min(self._FIRST, most_rows)

    def observe(self, rows: int, size: int) -> None:
        """Take in that ``rows`` rows held ``size`` bytes."""
        if rows:
            fitting = int(self._most_bytes * rows / max(size, 1))
            self.rows = max(1, min(self.rows * 2, fitting, self._most_rows))

"""How many messages a batch should have, so that it takes no longer than receivers let it."""

from __future__ import annotations

ROUND_SECONDS = 2.0
FIRST = 128
MOST = 10_000


class BatchPace:
    """Learn from each batch how many are answered in two seconds; used by its publisher's thread alone.

    A round of the relay is as long as its batch: while it lasts no shard is handed over, and what is left at its end
    looks as if the receiver were away.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self.records_at_once = max(FIRST, least)

    def observe(self, answered: int, seconds: float) -> None:
        """Take in how many messages of a batch were answered, and how long it took."""
        if not answered:
            return
        fitting = int(answered * ROUND_SECONDS / max(seconds, 0.001))
        self.records_at_once = max(self._least, min(fitting, self.records_at_once * 2, MOST))

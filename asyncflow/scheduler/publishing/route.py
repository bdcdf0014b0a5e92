"""The way to one destination."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.scheduler.loops.fair_lock import FairLock
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.publisher import Publisher


@dataclass(frozen=True)
class Route:
    """Hold a destination's name, who publishes there, and what is kept shut of it; lives as long as its relay.

    Several relays that have one publisher have one ``turn`` as well: who holds it publishes.
    """

    destination: str
    publisher: Publisher
    breakers: Breakers
    turn: FairLock | None = None

    def takes(self, rows: int) -> int:
        """Return how many of so many records the publisher wants in one batch."""
        most: int | None = getattr(self.publisher, "records_at_once", None)
        return rows if most is None else max(1, min(rows, most))

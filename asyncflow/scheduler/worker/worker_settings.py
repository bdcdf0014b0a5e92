"""What a worker is configured by."""

from __future__ import annotations

from typing import Protocol


class WorkerSettings(Protocol):
    """Configure a worker; the scheduler's settings do, and those of the task service's client."""

    @property
    def claim_lease_seconds(self) -> float:
        """Return how long a claim lasts; it is renewed at a third."""
        ...

    @property
    def min_pause_seconds(self) -> float:
        """Return the pause after the first look that found nothing; it doubles with each."""
        ...

    @property
    def max_pause_seconds(self) -> float:
        """Return where that doubling ends."""
        ...

    @property
    def stop_timeout_seconds(self) -> float:
        """Return how long a stop waits for handlers at work."""
        ...

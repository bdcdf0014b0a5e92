"""A publisher that keeps what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record


class MemoryPublisher:
    """Be a publisher that keeps its records; ``answer`` chooses the outcome of each, Sent by default."""

    def __init__(self, answer: Callable[[Record], Outcome] = lambda _: SENT) -> None:
        self.records: list[Record] = []
        self.closed = False
        self._answer = answer

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Keep the records and answer for each."""
        self.records.extend(batch)
        return [self._answer(record) for record in batch]

    def close(self) -> None:
        """Remember the call."""
        self.closed = True

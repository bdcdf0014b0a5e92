"""Publishers that stand in for brokers in all their moods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from asyncflow.scheduler import SENT, Outcome, Record, Unavailable
from asyncflow.testing import MemoryPublisher

LONG = 120.0


class Switch(MemoryPublisher):
    """Be a broker that can be taken away; keeps what it was given while there, and counts the batches."""

    def __init__(self, *, away: bool = False) -> None:
        super().__init__()
        self.away = away
        self.batches: list[int] = []

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self.batches.append(len(batch))
        if self.away:
            return [Unavailable("connection refused")] * len(batch)
        return super().publish(batch)


class Gate(MemoryPublisher):
    """Block in ``publish`` until opened; tell when somebody is in there."""

    def __init__(self, answer: Callable[[Record], Outcome] = lambda _: SENT) -> None:
        super().__init__(answer)
        self.entered = threading.Event()
        self.opened = threading.Event()

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self.entered.set()
        assert self.opened.wait(LONG), "nobody opened the gate"
        return super().publish(batch)

    def wait(self) -> None:
        """Wait until a batch is inside."""
        assert self.entered.wait(LONG), "nobody came to the gate"


class Meanwhile(MemoryPublisher):
    """Do something between publish and settle, once."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work: Callable[[], object] | None = work

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        outcomes = super().publish(batch)
        work, self._work = self._work, None
        if work is not None:
            work()
        return outcomes


def ids_of(publisher: MemoryPublisher) -> list[str]:
    """Return the message ids of the records, in order."""
    return [dict(record.headers)["message-id"].decode() for record in publisher.records]


def values_of(publisher: MemoryPublisher) -> list[bytes]:
    """Return the payloads of the records, in order."""
    return [record.value for record in publisher.records]

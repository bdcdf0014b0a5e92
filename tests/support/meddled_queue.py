"""A queue of which letters get lost on their way to the broker, or go there twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncflow.scheduler.task_queue import Parcel, Sending, TaskQueue


class MeddledQueue:
    """Lead to another queue; ``loses`` counts the letters that are still to be lost, ``copies`` how often each goes."""

    def __init__(self, queue: TaskQueue) -> None:
        self.credits = queue.credits
        self.loses = 0
        self.lost = 0
        self.copies = 1
        self._queue = queue

    def sending(self, name: str) -> MeddledLine:
        return MeddledLine(self, self._queue.sending(name))

    def lose(self) -> bool:
        """Tell whether the next letter is to be lost."""
        is_lost = self.lost < self.loses
        self.lost += is_lost
        return is_lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class MeddledLine:
    """Send what is not to be lost, as often as it is to be."""

    def __init__(self, queue: MeddledQueue, line: Sending) -> None:
        self._queue = queue
        self._line = line

    def require_living(self) -> None:
        self._line.require_living()

    def send(self, parcels: Sequence[Parcel]) -> Sequence[str | None]:
        kept = [parcel for parcel in parcels if not self._queue.lose()]
        self._line.send([parcel for parcel in kept for _ in range(self._queue.copies)])
        return [None] * len(parcels)

    def close(self) -> None:
        self._line.close()

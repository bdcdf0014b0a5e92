"""What a client's own threads have received, until its consumer takes it, and what ended them."""

from __future__ import annotations

import queue
from contextlib import suppress

from asyncflow.consuming.delivered import Delivered


class Arrivals:
    """Hold messages from when they came to when they are taken; lives as long as its client, any thread may add.

    The consumer's thread alone takes them.
    """

    def __init__(self) -> None:
        self.fault: BaseException | None = None  # the first; nothing comes any more
        self._waiting: queue.SimpleQueue[Delivered | None] = queue.SimpleQueue()

    def add(self, delivery: Delivered) -> None:
        """Know that a message has come."""
        self._waiting.put(delivery)

    def end(self, fault: BaseException) -> None:
        """Know that nothing comes any more, and why; whoever waits is woken."""
        if self.fault is None:
            self.fault = fault
        self._waiting.put(None)

    def room(self, most: int) -> int:
        """Return how many more may come before ``most`` are waiting; less than 1 for none."""
        return most - self._waiting.qsize()

    def take(self, most: int, seconds: float) -> list[Delivered]:
        """Return what has come, at most so many; wait for the first, none if none comes in time or it has ended."""
        found: list[Delivered] = []
        with suppress(queue.Empty):
            while len(found) < most:
                one = self._waiting.get_nowait() if found or not seconds else self._waiting.get(timeout=seconds)
                if one is None:
                    break
                found.append(one)
        return found

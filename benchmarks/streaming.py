"""The speed of a scheduler in the middle of its stream, however much waits behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.scheduler import Outcome, Publisher, Record
from benchmarks.ground import Ground

_WARM_UP = 5000  # messages; a relay's rounds grow while it learns how large a row is
_PATIENCE_SECONDS = 120.0


class Watched:
    """Publish through another publisher, and note when the first messages beyond the warm-up and the last ones went."""

    def __init__(self, publisher: Publisher, messages: int, warm_up: int) -> None:
        self.done = threading.Event()
        self.speed = 0.0
        self._publisher = publisher
        self._messages = messages
        self._warm_up = warm_up
        self._sent = 0
        self._began: tuple[int, float] | None = None

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Publish, and look at the clock."""
        outcomes = self._publisher.publish(batch)
        self._sent += len(batch)
        now = time.perf_counter()
        if self._began is None:
            if self._sent >= self._warm_up:
                self._began = self._sent, now
        elif self._sent - self._began[0] >= self._messages and not self.done.is_set():
            self.speed = (self._sent - self._began[0]) / (now - self._began[1])
            self.done.set()
        return outcomes

    def close(self) -> None:
        """Close the other publisher."""
        self._publisher.close()


def streaming_speed(
    ground: Ground,
    messages: int,
    others: dict[str, Publisher] | None = None,
    *,
    warm_up: int = _WARM_UP,
    **options: Any,
) -> float:
    """Run a scheduler over what waits until ``messages`` have gone after the warm-up; return messages a second."""
    watched = Watched(ConfluentKafkaPublisher(ground.kafka), messages, warm_up)
    scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": watched, **(others or {})}, **options)
    with scheduler:
        if not watched.done.wait(_PATIENCE_SECONDS):
            raise RuntimeError(f"{messages} messages took longer than {_PATIENCE_SECONDS:.0f} s")
    return watched.speed


def needed(messages: int) -> int:
    """Return how many rows must wait for ``streaming_speed`` to measure ``messages``."""
    return messages + _WARM_UP + 6000

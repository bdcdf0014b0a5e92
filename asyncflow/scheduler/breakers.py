"""The circuit breakers of one destination: its own, and one for each topic that gave trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from asyncflow.outbox.events import Hooks
from asyncflow.scheduler.breaker import HALF_OPEN, Breaker
from asyncflow.scheduler.publisher import SENT, Outcome, Record, Sent, Unavailable
from asyncflow.scheduler.settings import SchedulerSettings

_PAUSE_PER_SECOND_LOST = 9.0  # so that probes of a topic that lets us wait cost the others a tenth of the time


class Breakers:
    """Tell what may pass to one destination; lives as long as its relay, used by its thread alone.

    A batch of which nothing was sent speaks of the destination, unless its client names the topic. If anything was
    sent, what was not speaks of its topic.
    """

    def __init__(
        self, destination: str, settings: SchedulerSettings, hooks: Hooks, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._destination = destination
        self._settings = settings
        self._hooks = hooks
        self.of_destination = self._made(None)
        self._of_topics: dict[str, Breaker] = {}

    @property
    def is_probing(self) -> bool:
        """Tell whether the destination lets one task pass."""
        return self.of_destination.state == HALF_OPEN

    def seconds_until_probe(self, topic: str | None = None) -> float:
        """Return 0 if work may pass to the destination, or to that topic; else how long to stay away."""
        breaker = self._of_topics.get(topic) if topic is not None else self.of_destination
        return 0.0 if breaker is None else breaker.seconds_until_probe()

    def is_probing_topic(self, topic: str) -> bool:
        """Tell whether the topic lets one task pass."""
        return topic in self._of_topics

    def states(self) -> dict[str, str]:
        """Return the state of the destination, under its name, and of each topic that is not closed."""
        topics = {f"{self._destination}/{topic}": breaker.state for topic, breaker in self._of_topics.items()}
        return {self._destination: self.of_destination.state, **topics}

    def report(self, records: Sequence[Record], outcomes: Sequence[Outcome], seconds: float) -> None:
        """Take in what became of a batch, which took ``seconds``."""
        troubles: dict[str, Unavailable] = {}
        for record, outcome in zip(records, outcomes, strict=True):
            if outcome is not SENT and isinstance(outcome, Unavailable):
                troubles.setdefault(record.topic, outcome)
        if not troubles:
            self._answered({record.topic for record in records} if self._of_topics else ())
        elif any(isinstance(outcome, Sent) for outcome in outcomes) or all(
            trouble.is_of_topic for trouble in troubles.values()
        ):
            self._answered({record.topic for record in records} - troubles.keys())
            for topic, trouble in troubles.items():
                self._of_topic(topic).unavailable(trouble.error, seconds * _PAUSE_PER_SECOND_LOST)
        else:
            self.of_destination.unavailable(next(iter(troubles.values())).error)

    def _answered(self, topics: set[str] | tuple[()]) -> None:
        self.of_destination.available()
        for topic in self._of_topics.keys() & topics:
            self._of_topics.pop(topic).available()

    def _of_topic(self, topic: str) -> Breaker:
        return self._of_topics.setdefault(topic, self._made(topic))

    def _made(self, topic: str | None) -> Breaker:
        settings = self._settings
        pauses = settings.breaker_pause_seconds, settings.max_breaker_pause_seconds
        return Breaker(self._destination, *pauses, self._hooks, lambda: self.clock(), topic=topic)

"""The brokers' clock, by which a worker tells how long a letter lay."""

from __future__ import annotations

import math
from time import monotonic
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka.queueing.writer import TopicWriter, ToWrite, require_written

_KEPT_SECONDS = 30.0  # for which one's own clock goes as the broker's does


class BrokerClock:
    """Know what time it is at the brokers: of a record without a body in the topic of notes, they tell when it came.

    Workers' clocks, and the scheduler's, are compared with nobody's. Used by one thread.
    """

    def __init__(self, library: Any, topic: str) -> None:
        self._append_time = library.TIMESTAMP_LOG_APPEND_TIME
        self._topic = topic
        self._asked_at = -math.inf  # on our monotonic clock
        self._told = 0.0

    def set(self, writer: TopicWriter) -> None:
        """Ask for the time, unless it was told lately; raises KafkaException or UnreachableError."""
        asked_at = monotonic()
        if asked_at - self._asked_at < _KEPT_SECONDS:
            return
        answers = writer.write([ToWrite(self._topic, None)])
        require_written(answers)
        self._told, self._asked_at = self.came_at(answers[0].message), asked_at

    def latest(self) -> float:
        """Return the seconds at the brokers now, at the latest."""
        return self._told + monotonic() - self._asked_at

    def came_at(self, message: Any) -> float:
        """Return when a message came to the brokers; raises UnreachableError where its topic does not tell."""
        kind, milliseconds = message.timestamp()
        if kind != self._append_time:
            raise UnreachableError(
                f"the topic {message.topic()!r} keeps the senders' times; set its message.timestamp.type to "
                f"LogAppendTime"
            )
        return float(milliseconds) / 1000

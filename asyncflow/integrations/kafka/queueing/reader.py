"""A reader: one member of the group that reads a topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka.confluent.outcomes import describe
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster

# What a member hears that had no room for a while: it joins again by itself.
_HARMLESS = ("_MAX_POLL_EXCEEDED",)
_TROUBLE = ("_ALL_BROKERS_DOWN", "_AUTHENTICATION", "_SSL", "_FATAL")
_LOST = ("ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "_ASSIGNMENT_LOST", "_NO_OFFSET")


class TopicReader:
    """Hold one consumer, on one thread; it leaves the group when it is not read for longer than its patience.

    ``forget`` is called with the numbers of partitions that come or go.
    """

    def __init__(
        self,
        cluster: QueueCluster,
        topic: str,
        patience_seconds: float,
        forget: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        self._library = cluster.library
        self._topic = topic
        self._trouble: Any = None  # told when there is nothing else to tell
        self._client = cluster.consumer(topic, patience_seconds, self._hear)
        # librdkafka follows a change of partitions on its own thread only where nobody asks to be told of it: so a
        # member that is at work holds up nobody.
        self._client.subscribe([topic], **({} if forget is None else _told_of_changes(forget)))

    def read(self, most: int, seconds: float) -> list[Any]:
        """Return up to so many messages, none if none come in time; raises UnreachableError."""
        first = self._client.poll(seconds)
        rest = self._client.consume(most - 1, 0.0) if first is not None and most > 1 else []
        messages = [message for message in (first, *rest) if message is not None and self._is_message(message)]
        if not messages and self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise UnreachableError(describe(trouble))
        return messages

    def holds(self) -> set[int]:
        """Return the numbers of the partitions that are this member's."""
        return {one.partition for one in self._client.assignment()}

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Let the group go on, in each partition, at this offset; return False if they are another member's by now."""
        wanted = [self._library.TopicPartition(self._topic, *one) for one in offsets.items()]
        try:
            answers = self._client.commit(offsets=wanted, asynchronous=False)
        except self._library.KafkaException as error:
            if error.args[0].name() in _LOST:
                return False
            raise
        for one in answers:
            if one.error is not None:
                raise UnreachableError(describe(one.error))
        return True

    def close(self) -> None:
        """Leave the group."""
        self._client.close()

    def _is_message(self, message: Any) -> bool:
        error = message.error()
        if error is not None and error.name() not in _HARMLESS:
            self._trouble = error
        return error is None

    def _hear(self, error: Any) -> None:
        if error.name() in _TROUBLE:
            self._trouble = error


def _told_of_changes(forget: Callable[[Sequence[int]], None]) -> dict[str, Callable[[Any, Any], None]]:
    def tell(_: Any, partitions: Any) -> None:
        forget([one.partition for one in partitions])

    return {"on_assign": tell, "on_revoke": tell, "on_lost": tell}

"""A worker's line by which letters come."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from asyncflow.errors import OptionError, UnreachableError
from asyncflow.integrations.kafka.queueing.broker_clock import BrokerClock
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.line import KafkaLine
from asyncflow.integrations.kafka.queueing.reader import TopicReader
from asyncflow.integrations.kafka.queueing.writer import TopicWriter
from asyncflow.integrations.kafka.topic_names import fault_of
from asyncflow.scheduler.task_queue import Arrival, QueueNames

# One that has no room leaves what lies before it to others so soon: within a part of a claim.
_PATIENCE_SECONDS = 6.0
_PAUSES = (0.005, 0.05)  # between two looks into several topics that were empty; doubles


class KafkaTaking(KafkaLine):
    """Take letters, of which their group knows then that they are taken; used by one thread.

    Each type's topic is read by a member of its own: one that has no room for that type leaves its partitions to
    others after a few seconds, whatever other types it takes.
    """

    def __init__(self, cluster: QueueCluster, topics: QueueNames) -> None:
        super().__init__(cluster, topics)
        self._clock = BrokerClock(cluster.library, topics.notes)

    def take(self, rooms: Mapping[str, int], seconds: float) -> Sequence[Arrival]:
        """Return letters of each type up to its number."""
        for task_type in rooms:
            if fault := fault_of(self._topics.letters(task_type)):
                raise OptionError(f"the task type {task_type!r} names a topic of a queue on Kafka: {fault}")
        return self._ask(lambda: self._take(rooms, seconds))

    def _take(self, rooms: Mapping[str, int], seconds: float) -> list[Arrival]:
        readers = [(self._reader_of(task_type), room) for task_type, room in rooms.items()]
        self._clock.set(self._writer())  # before anything is taken that would be lost with a failure
        deadline, pause = time.monotonic() + seconds, _PAUSES[0]
        found = self._look(readers, seconds if len(readers) == 1 else 0.0)
        while not found and (left := deadline - time.monotonic()) > 0 and len(readers) > 1:
            time.sleep(min(left, pause))
            pause = min(2 * pause, _PAUSES[1])
            found = self._look(readers, 0.0)
        now = self._clock.latest()
        return [Arrival(one.value() or b"", max(0.0, now - self._clock.came_at(one))) for one in found]

    def _look(self, readers: Sequence[tuple[TopicReader, int]], seconds: float) -> list[Any]:
        """Return what is there; what one topic has given is not lost for what is wrong with another."""
        found: list[Any] = []
        for reader, room in readers:
            try:
                found += _taken(reader, room, seconds)
            except (UnreachableError, self._cluster.library.KafkaException):
                if not found:
                    raise
        return found

    def _reader_of(self, task_type: str) -> TopicReader:
        topic = self._topics.letters(task_type)
        self._require_topic(topic)
        return self._client(topic, lambda: TopicReader(self._cluster, topic, _PATIENCE_SECONDS))

    def _writer(self) -> TopicWriter:
        self._require_topic(self._topics.notes)
        return self._client("writer", lambda: TopicWriter(self._cluster))


def _taken(reader: TopicReader, room: int, seconds: float) -> list[Any]:
    """Read letters, and let their group know; those of partitions that are another's by now are left to it.

    While partitions move the group takes no word of those that stay, either. Raises UnreachableError if that lasts:
    who joins anew begins at what is committed.
    """
    messages = reader.read(room, seconds)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while messages:
        held = reader.holds()
        messages = [message for message in messages if message.partition() in held]
        if not messages or reader.commit({one.partition(): one.offset() + 1 for one in messages}):  # the last of each
            break
        if time.monotonic() > deadline:
            raise UnreachableError("the group's partitions move, and it takes no offset")
        time.sleep(_PAUSES[1])
    return messages

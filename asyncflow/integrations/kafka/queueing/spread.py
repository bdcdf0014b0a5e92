"""The spread of letters over the partitions of a topic: to where the fewest wait."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster

_BREATH_SECONDS = 0.05
_LOOK_SECONDS = 0.5  # between two looks at what waits; in between it is counted on


class Spread:
    """Know how many letters wait in each partition of one topic; used by one thread.

    A partition belongs to one worker. Were letters dealt out in turn, those of a slow one would in the end hold all
    credits; so they go where the fewest wait, which is what its group has not taken yet.

    That is asked through a client of the group, which takes no part in it: librdkafka's own question to a coordinator
    by its admin client ends the process where the connection is lost meanwhile.
    """

    def __init__(self, cluster: QueueCluster, admin: Any, topic: str) -> None:
        self._cluster = cluster
        self._admin = admin
        self._topic = topic
        self._group = cluster.onlooker(topic)
        self._waiting: list[tuple[int, int, int]] = []  # how many, in which turn, where
        self._turn = 0
        self._look_at = 0.0

    def place(self) -> int:
        """Return the partition for one more letter; raises KafkaException or UnreachableError."""
        if monotonic() >= self._look_at:
            self._look()
        waiting, _, partition = heapq.heappop(self._waiting)
        self._turn += 1
        heapq.heappush(self._waiting, (waiting + 1, self._turn, partition))
        return partition

    def close(self) -> None:
        """End the client of the group."""
        self._group.close()

    def _look(self) -> None:
        deadline = monotonic() + self._cluster.timeout_seconds
        while not (ends := self._offsets(self._partitions(), "latest")):  # as it is for a moment when a topic was made
            if monotonic() > deadline:
                raise UnreachableError(f"no partition of the topic {self._topic!r} has a leader")
            sleep(_BREATH_SECONDS)
        taken = self._taken(list(ends))
        # A group begins at the beginning where it has taken nothing yet.
        begins = self._offsets([one for one in ends if one not in taken], "earliest") | taken
        self._waiting = []
        for partition, end in ends.items():
            self._turn += 1
            self._waiting.append((max(0, end - begins.get(partition, end)), self._turn, partition))
        heapq.heapify(self._waiting)
        self._look_at = monotonic() + _LOOK_SECONDS

    def _partitions(self) -> Sequence[int]:
        topic = self._admin.list_topics(self._topic, self._cluster.timeout_seconds).topics[self._topic]
        return list(topic.partitions)

    def _offsets(self, partitions: Sequence[int], which: str) -> dict[int, int]:
        """Return the earliest or the latest offsets of those partitions that have a leader."""
        if not partitions:
            return {}
        spec = getattr(self._cluster.admin_library.OffsetSpec, which)()
        wanted = {self._cluster.library.TopicPartition(self._topic, partition): spec for partition in partitions}
        asked = self._admin.list_offsets(wanted, request_timeout=self._cluster.timeout_seconds)
        told = [(one.partition, answer) for one, answer in asked.items() if answer.exception() is None]
        return {partition: answer.result().offset for partition, answer in told}

    def _taken(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return where the workers' group goes on, by partition."""
        wanted = [self._cluster.library.TopicPartition(self._topic, partition) for partition in partitions]
        answers = self._group.committed(wanted, self._cluster.timeout_seconds)
        return {one.partition: one.offset for one in answers if one.error is None and one.offset >= 0}

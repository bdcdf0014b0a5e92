"""A worker's line by which notes go back."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.line import KafkaLine
from asyncflow.integrations.kafka.queueing.writer import TopicWriter, ToWrite, require_written
from asyncflow.scheduler.task_queue import QueueNames


class KafkaTelling(KafkaLine):
    """Tell notes, all of one line in order; used by one thread at a time."""

    def __init__(self, cluster: QueueCluster, topics: QueueNames) -> None:
        super().__init__(cluster, topics)
        self._key = secrets.token_bytes(8)

    def tell(self, notes: Sequence[bytes]) -> None:
        """Have the brokers keep the notes, in order."""
        if notes:
            self._ask(lambda: self._write(notes))

    def _write(self, notes: Sequence[bytes]) -> None:
        self._require_topic(self._topics.notes)
        writer = self._client("writer", lambda: TopicWriter(self._cluster))
        require_written(writer.write([ToWrite(self._topics.notes, note, key=self._key) for note in notes]))

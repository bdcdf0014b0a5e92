"""The collector's line: notes, which come again until they are acknowledged."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.line import KafkaLine
from asyncflow.integrations.kafka.queueing.reader import TopicReader
from asyncflow.integrations.kafka.queueing.unwritten import Unwritten
from asyncflow.scheduler.task_queue import Handed, QueueNames

_PATIENCE_SECONDS = 60.0  # for a database that is slow: what was collected would be collected again by others


class NotePlace(NamedTuple):
    """Name a note by where it stands."""

    partition: int
    offset: int


class KafkaCollecting(KafkaLine):
    """Collect notes as a member of the schedulers' group; used by one thread."""

    def __init__(self, cluster: QueueCluster, topics: QueueNames) -> None:
        super().__init__(cluster, topics)
        self._unwritten = Unwritten()

    def collect(self, most: int, seconds: float) -> Sequence[Handed]:
        """Return notes; what is not acknowledged comes to whoever has its partition next."""
        return self._ask(lambda: self._collect(most, seconds))

    def acknowledge(self, handles: Collection[Hashable]) -> None:
        """Let the group go on behind what is acknowledged without a gap; of another's partitions nothing is said."""
        for handle in handles:
            if isinstance(handle, NotePlace):
                self._unwritten.written(*handle)
        self._ask(self._commit)

    def close(self) -> None:
        """Leave the group, and disconnect."""
        self._unwritten = Unwritten()
        super().close()

    def leave_to_parent(self) -> None:
        """Begin anew in the child of a fork."""
        self._unwritten = Unwritten()
        super().leave_to_parent()

    def _collect(self, most: int, seconds: float) -> list[Handed]:
        found: list[Handed] = []
        for message in self._reader().read(most, seconds):
            place = NotePlace(message.partition(), message.offset())
            self._unwritten.came(*place)
            if message.value() is None:  # by which a worker asked for the time
                self._unwritten.written(*place)
            else:
                found.append(Handed(place, message.value()))
        if not found:
            self._commit()
        return found

    def _commit(self) -> None:
        ends = self._unwritten.ends()
        if ends and self._reader().commit(ends):
            self._unwritten.committed(ends)

    def _reader(self) -> TopicReader:
        topic = self._topics.notes
        self._require_topic(topic)
        return self._client(topic, lambda: TopicReader(self._cluster, topic, _PATIENCE_SECONDS, self._forget))

    def _forget(self, partitions: Sequence[int]) -> None:
        self._unwritten.forget(partitions)

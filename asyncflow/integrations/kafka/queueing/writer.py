"""A writer: puts records into topics, and tells of each what the brokers said."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka.confluent.outcomes import describe
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.topics import MOST_BYTES

_LOOK_SECONDS = 0.1
_DOWN_SECONDS = 1.0  # without any broker, after which what is to be written is given up
_ANY_PARTITION = -1


class ToWrite(NamedTuple):
    """Hold a record; those of one key stay in order."""

    topic: str
    body: bytes | None
    partition: int = _ANY_PARTITION
    key: bytes | None = None


class WriteAnswer(NamedTuple):
    """Hold what became of a record: an error of librdkafka's, or the message as it stands in the topic."""

    error: Any
    message: Any


class TopicWriter:
    """Hold one producer, on one thread at a time. After UnreachableError it is to be closed: it may still write."""

    def __init__(self, cluster: QueueCluster) -> None:
        self._library = cluster.library
        self._seconds = cluster.timeout_seconds
        self._written: list[WriteAnswer | None] = []
        self._down_at: float | None = None
        self._client = cluster.producer(MOST_BYTES, self._hear)

    def write(self, records: Sequence[ToWrite]) -> list[WriteAnswer]:
        """Write them, and return in order what became of each; raises UnreachableError if nobody answers in time."""
        self._written = [None] * len(records)
        deadline = monotonic() + self._seconds + _DOWN_SECONDS
        self._down_at = None
        for index, record in enumerate(records):
            self._produce(index, record, deadline)
        self._wait(deadline)
        return [one for one in self._written if one is not None]

    def close(self) -> None:
        """Drop what is unsent, and end the client's threads."""
        self._client.purge()
        self._client.flush(_DOWN_SECONDS)
        self._client.close()

    def _produce(self, index: int, record: ToWrite, deadline: float) -> None:
        note = partial(self._note, index)
        try:
            self._client.produce(record.topic, record.body, record.key, record.partition, note)
        except BufferError:  # the client's own queue is full
            self._wait(deadline)
            self._client.produce(record.topic, record.body, record.key, record.partition, note)
        except self._library.KafkaException as error:
            self._note(index, error.args[0], None)

    def _wait(self, deadline: float) -> None:
        """Let the client call back until all that it has is written, or given up."""
        while self._client.flush(_LOOK_SECONDS):
            now = monotonic()
            if self._down_at is not None and now - self._down_at > _DOWN_SECONDS:
                raise UnreachableError("no broker answers")
            if now > deadline:
                raise UnreachableError("no answer in time")

    def _note(self, index: int, error: Any, message: Any) -> None:
        self._written[index] = WriteAnswer(error, message)

    def _hear(self, error: Any) -> None:
        if error.name() == "_ALL_BROKERS_DOWN":
            self._down_at = self._down_at or monotonic()


def require_written(answers: Sequence[WriteAnswer]) -> None:
    """Raise UnreachableError for the first record that was not written."""
    for error, _ in answers:
        if error is not None:
            raise UnreachableError(describe(error))

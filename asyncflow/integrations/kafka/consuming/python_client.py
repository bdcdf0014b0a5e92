"""A member of a consumer group through kafka-python."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyncflow.consuming.received import headers_among
from asyncflow.integrations.kafka.consuming.received import (
    Membership,
    Partition,
    PartitionsLostError,
    Rebalance,
    Received,
)
from asyncflow.integrations.kafka.extras import kafka_python
from asyncflow.integrations.kafka.python.options import security

_MOST = 100  # messages of one poll
_LOOK_SECONDS = 10.0  # until topics that bring nothing are looked for


class PythonClient:
    """Hold one ``kafka.KafkaConsumer``, on the consumer's thread."""

    def __init__(self, membership: Membership, rebalance: Rebalance) -> None:
        servers, group, topics, settings, options = membership
        self._library = library = kafka_python()
        self._rebalance = rebalance
        self._client = library.KafkaConsumer(
            **{
                "bootstrap_servers": servers,
                "client_id": settings.client_id,
                "group_id": group,
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
                "max_poll_records": _MOST,
                **security(settings),
                **options,
            }
        )
        self._topics, self._look_at = frozenset(topics), time.monotonic() + _LOOK_SECONDS
        self._client.subscribe(topics=sorted(topics), listener=self._listener())

    def poll(self, seconds: float) -> Sequence[Received]:
        """Return some messages, none if none come in time."""
        pages = self._client.poll(timeout_ms=round(seconds * 1000))
        if not pages and time.monotonic() >= self._look_at:
            self._look_for_topics()
        return [_received(record) for page in pages.values() for record in page]

    def _look_for_topics(self) -> None:
        """Tell of topics that are not there; the library waits for them without a word."""
        self._look_at = time.monotonic() + _LOOK_SECONDS
        if absent := self._topics - {one.topic for one in self._client.assignment()}:  # or others have all of it
            self._rebalance.missing(absent - self._client.topics())

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the offsets of the next messages; raises PartitionsLostError."""
        errors, structs = self._library.errors, self._library.structs
        moved = (
            getattr(errors, name)
            for name in (
                "CommitFailedError",
                "IllegalGenerationError",
                "RebalanceInProgressError",
                "UnknownMemberIdError",
            )
        )
        try:
            self._client.commit(
                {self._of(one): structs.OffsetAndMetadata(offset, "", -1) for one, offset in offsets.items()}
            )
        except tuple(moved) as error:
            raise PartitionsLostError(str(error)) from error

    def hold(self, partition: Partition, offset: int) -> None:
        """Let nothing come of a partition, and begin with this offset when it is resumed."""
        self._client.pause(self._of(partition))
        self._client.seek(self._of(partition), offset)

    def resume(self, partition: Partition) -> None:
        """Let messages of a partition come again."""
        self._client.resume(self._of(partition))

    def close(self) -> None:
        """Leave the group."""
        self._client.close(autocommit=False)

    def _of(self, partition: Partition) -> Any:
        return self._library.TopicPartition(*partition)

    def _listener(self) -> Any:
        rebalance = self._rebalance

        class Listener(self._library.ConsumerRebalanceListener):  # type: ignore[name-defined,misc]
            def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
                rebalance.revoked(_partitions(revoked))

            def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
                rebalance.assigned(_partitions(assigned))

            def on_partitions_lost(self, lost: Iterable[Any]) -> None:
                rebalance.lost(_partitions(lost))

        return Listener()


def _partitions(given: Iterable[Any]) -> list[Partition]:
    return [Partition(one.topic, one.partition) for one in given]


def _received(record: Any) -> Received:
    headers = headers_among(record.headers)
    place = Partition(record.topic, record.partition)
    return Received(place, record.offset, record.key, record.value, headers, record.timestamp)

"""A member of a consumer group through confluent-kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyncflow.consuming.received import headers_among
from asyncflow.integrations.kafka.confluent.options import security
from asyncflow.integrations.kafka.consuming.received import (
    Membership,
    Partition,
    PartitionsLostError,
    Rebalance,
    Received,
)
from asyncflow.integrations.kafka.extras import confluent_kafka

_MOST = 100  # messages of one poll
_LOST = ("ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "_ASSIGNMENT_LOST", "FENCED_INSTANCE_ID")


class ConfluentClient:
    """Hold one ``confluent_kafka.Consumer``, on the consumer's thread."""

    def __init__(self, membership: Membership, rebalance: Rebalance) -> None:
        servers, group, topics, settings, options = membership
        self._library = library = confluent_kafka()
        self._rebalance = rebalance
        self._fault: Any = None  # told at the next poll, for its messages come first
        self._client = library.Consumer(
            {
                "bootstrap.servers": servers,
                "client.id": settings.client_id,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "reconnect.backoff.max.ms": 1000,
                **security(settings),
                **options,
            }
        )
        self._client.subscribe(
            sorted(topics),
            on_assign=lambda _, given: rebalance.assigned(_partitions(given)),
            on_revoke=lambda _, given: rebalance.revoked(_partitions(given)),
            on_lost=lambda _, given: rebalance.lost(_partitions(given)),
        )

    def poll(self, seconds: float) -> Sequence[Received]:
        """Return some messages, none if none come in time; raises what the last poll heard is wrong for good."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise self._library.KafkaException(fault)
        found = []
        for message in self._client.consume(_MOST, seconds):
            error = message.error()
            if error is None:
                found.append(_received(message))
            elif self._is_for_good(error):
                self._fault = self._fault or error
            elif error.code() == self._library.KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._rebalance.missing({message.topic()})
        return found

    def _is_for_good(self, error: Any) -> bool:
        return error.fatal() or error.code() == self._library.KafkaError.TOPIC_AUTHORIZATION_FAILED  # type: ignore[no-any-return]

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the offsets of the next messages; raises PartitionsLostError."""
        wanted = [self._library.TopicPartition(*one, offset) for one, offset in offsets.items()]
        try:
            self._client.commit(offsets=wanted, asynchronous=False)
        except self._library.KafkaException as error:
            if error.args and getattr(error.args[0], "name", lambda: "")() in _LOST:
                raise PartitionsLostError(str(error)) from error
            raise

    def hold(self, partition: Partition, offset: int) -> None:
        """Let nothing come of a partition, and begin with this offset when it is resumed."""
        self._client.pause([self._library.TopicPartition(*partition)])
        self._client.seek(self._library.TopicPartition(*partition, offset))

    def resume(self, partition: Partition) -> None:
        """Let messages of a partition come again."""
        self._client.resume([self._library.TopicPartition(*partition)])

    def close(self) -> None:
        """Leave the group."""
        self._client.close()


def _partitions(given: Iterable[Any]) -> list[Partition]:
    return [Partition(one.topic, one.partition) for one in given]


def _received(message: Any) -> Received:
    headers = headers_among(message.headers() or ())
    place = Partition(message.topic(), message.partition())
    return Received(place, message.offset(), message.key(), message.value(), headers, message.timestamp()[1])

"""A message as it comes from the broker, and what a consumer needs of a client library."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from asyncflow.consuming.received import id_among, place_that_fits, type_among
from asyncflow.errors import AsyncflowError
from asyncflow.integrations.kafka.settings import KafkaSettings


class Partition(NamedTuple):
    """Name one partition of a topic."""

    topic: str
    number: int


class Received(NamedTuple):
    """Hold one message; ``written_at`` is its time, in milliseconds as the broker tells it."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    written_at: int = -1

    @property
    def topic(self) -> str:
        """Return its topic."""
        return self.partition.topic

    @property
    def id(self) -> str:
        """Return what tells it from all others: its message id, or its place where it has none that can be kept."""
        return id_among(self.headers, self.place_id)

    @property
    def place(self) -> str:
        """Return where it stands, for people."""
        return f"{self.partition.topic}/{self.partition.number}/{self.offset}"

    @property
    def place_id(self) -> str:
        """Return an id of its place that can be kept: topics may have names as long as an id.

        Its time is of it: the offsets of a topic that was deleted and is made anew begin at 0 again.
        """
        return place_that_fits(self.partition.topic, f"{self.partition.number}/{self.offset}/{self.written_at}")

    @property
    def task_type(self) -> str:
        """Return what it is: its task type, or its topic where the producer named none."""
        return type_among(self.headers, self.partition.topic)


class PartitionsLostError(AsyncflowError):
    """Offsets could not be committed, for the partitions are another consumer's by now; it takes the messages again."""


class Rebalance(NamedTuple):
    """Hold what is called, within ``poll`` and ``close``, as partitions come and go."""

    assigned: Callable[[Collection[Partition]], None]
    revoked: Callable[[Collection[Partition]], None]  # offsets may still be committed
    lost: Callable[[Collection[Partition]], None]  # they may not
    missing: Callable[[Collection[str]], None]  # topics that the broker does not have, again and again


class Membership(NamedTuple):
    """Say where a client is to be a member, and how."""

    servers: str
    group: str
    topics: Collection[str]
    settings: KafkaSettings
    options: Mapping[str, Any]  # of the client library


class BrokerClient(Protocol):
    """Be one member of a consumer group; used by one thread at a time."""

    def poll(self, seconds: float) -> Sequence[Received]:
        """Return some messages, none if none come in time."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the offsets of the next messages; raises PartitionsLostError."""
        ...

    def hold(self, partition: Partition, offset: int) -> None:
        """Let nothing come of a partition, and begin with this offset when it is resumed."""
        ...

    def resume(self, partition: Partition) -> None:
        """Let messages of a partition come again."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...

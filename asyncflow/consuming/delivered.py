"""A message that a queue has given, and what a consumer needs of a client of queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from asyncflow.consuming.received import id_among, place_that_fits, type_among


class Delivered(NamedTuple):
    """Hold one message, which is its consumer's until it is acknowledged or given back."""

    topic: str
    within: str  # its place in the topic
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    handle: Any  # by which its client acknowledges it

    @property
    def id(self) -> str:
        """Return what tells it from all others: its message id, or its place where it has none that can be kept."""
        return id_among(self.headers, self.place_id)

    @property
    def place(self) -> str:
        """Return where it stands, for people."""
        return f"{self.topic}/{self.within}"

    @property
    def place_id(self) -> str:
        """Return an id of its place that can be kept."""
        return place_that_fits(self.topic, self.within)

    @property
    def task_type(self) -> str:
        """Return what it is: its task type, or its topic where the producer named none."""
        return type_among(self.headers, self.topic)


class QueueClient(Protocol):
    """Be one consumer of the broker's; used by one thread at a time. What it raises ends it: another is made."""

    def take(self, most: int, seconds: float) -> Sequence[Delivered]:
        """Return some messages, about ``most``; none if none come in time."""
        ...

    def acknowledge(self, delivery: Delivered) -> None:
        """Let the broker forget a message."""
        ...

    def require_living(self) -> None:
        """Raise what ends this client, if that is known already; asks nobody."""
        ...

    def close(self, left: Sequence[Delivered]) -> None:
        """Give back what was taken and not acknowledged, ``left`` among it, and end the connection."""
        ...

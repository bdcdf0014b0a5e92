"""What the suite has to be told of a broker, and what it has to be able to do to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NoReturn
from unittest import SkipTest

from asyncflow.scheduler.publishing.publisher import Publisher, Record


class BrokerUnderTest(ABC):
    """Lead the suite to a broker; one is made for each test, and closed by whoever made it.

    What a broker cannot be made to do keeps its default, which skips the test that asks for it, with the reason.
    ``shortest_timeout_seconds`` is the shortest that its publishers can be given.
    """

    shortest_timeout_seconds: float = 1.0

    @abstractmethod
    def make_publisher(self, timeout_seconds: float) -> Publisher:
        """Return a new publisher, which the suite closes; its ``publish`` waits for no answer longer than that."""

    @abstractmethod
    def make_topic(self) -> str:
        """Return the name of a topic that takes records, and that nobody else uses."""

    @abstractmethod
    def stored(self, topic: str, count: int) -> Sequence[Record]:
        """Return what the topic holds, at least ``count`` records, those of a key in their order.

        Read by a client that has no part in the publisher; wait for what has not arrived. Headers are as they were
        published, whatever the broker makes of them; which may be all together for ``message-id`` and the like.
        """

    def unroutable_topic(self) -> str:
        """Return a topic that the broker takes records for and has no place to keep them in, or does not know."""
        self._cannot("have a topic without a place for its records")

    def bytes_too_many(self) -> int:
        """Return how many bytes the value of a record has that is too large for the publisher or its broker."""
        self._cannot("refuse a record for its size")

    def refusing_topic(self) -> str:
        """Return a topic whose records the broker refuses for now, such as one that is full."""
        self._cannot("refuse a record for now")

    def forbidden_topic(self) -> str:
        """Return a topic that the publisher has no permission to write to."""
        self._cannot("forbid a topic")

    def removed(self, topic: str) -> AbstractContextManager[None]:
        """Let a topic that has taken records be gone within the context, and be there anew after it."""
        self._cannot("remove a topic that is in use")

    def revoked(self, topic: str) -> AbstractContextManager[None]:
        """Take the permission to write to a topic within the context from a publisher that has it."""
        self._cannot("revoke a permission that is in use")

    def away(self) -> AbstractContextManager[None]:
        """Let nobody answer at the broker's address within the context, open connections included."""
        self._cannot("go away")

    def silent(self) -> AbstractContextManager[None]:
        """Let the broker take connections and bytes within the context, and say nothing."""
        self._cannot("be silent")

    def slow(self) -> AbstractContextManager[None]:
        """Let each answer of the broker come a quarter of a second later within the context."""
        self._cannot("be slow")

    def answers_lost(self) -> AbstractContextManager[None]:
        """Let the broker take what is sent within the context, and none of its answers arrive; it ends connections."""
        self._cannot("have its answers lost")

    def cut_after(self, count_bytes: int) -> AbstractContextManager[None]:
        """Cut the publisher's connections within the context, once, when it has sent about so many bytes."""
        self._cannot("be cut off in the middle of a batch")

    def _cannot(self, what: str) -> NoReturn:
        raise SkipTest(f"{type(self).__name__} cannot {what}")

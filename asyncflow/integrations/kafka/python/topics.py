"""Find out which topics of a batch can be sent to, without waiting for each record of a missing one."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from types import ModuleType
from typing import Any

# A topic that was looked for in vain counts as absent for this long: looking takes up to two seconds, at the cost of
# the other topics of the destination.
ABSENT_FOR_SECONDS = 5.0


class Topics:
    """Look topics up through one client.

    ``absent`` outlives the client: it maps a missing topic to the monotonic time at which to look for it again. Used by
    the publisher's thread; the client's own counts the answers, and nothing else.
    """

    def __init__(self, library: ModuleType, client: Any, cluster: Any, absent: dict[str, float]) -> None:
        self._errors = library.errors
        self._client = client
        self._cluster = cluster
        self._absent = absent
        self._answer_count = 0
        cluster.add_listener(self._count_answer)

    def look_up(self, topics: Iterable[str]) -> dict[str, Exception]:
        """Return the error for each topic that cannot be sent to now; wait once, for all of them together."""
        unusable: dict[str, Exception] = {}
        unknown = [topic for topic in topics if self._cluster.partitions_for_topic(topic) is None]
        if not unknown:
            return unusable
        answers_before = self._answer_count
        asked = [topic for topic in unknown if self._ask(topic, unusable)]
        has_waited_in_vain = False
        for topic in asked:
            error = None if has_waited_in_vain else self._wait_for(topic)
            if self._cluster.partitions_for_topic(topic) is None:
                unusable[topic] = error or self._reason(topic, answers_before)
                has_waited_in_vain |= error is None
        return unusable

    def _ask(self, topic: str, unusable: dict[str, Exception]) -> bool:
        """Have the client ask for the topic; return whether it is worth waiting for the answer."""
        if monotonic() < self._absent.get(topic, 0.0):
            unusable[topic] = self._unknown(topic)
            return False
        try:
            # Its public way to ask for a topic waits for it; a sender is told of several, and asks for all at once.
            self._client._sender.add_topic(topic)
        except (TypeError, ValueError) as error:
            unusable[topic] = error
            return False
        return True

    def _wait_for(self, topic: str) -> Exception | None:
        """Wait until the client knows the topic, or its ``max_block_ms``; return what else it says than time-out."""
        try:
            self._client.partitions_for(topic)
        except self._errors.KafkaTimeoutError:
            return None
        except self._errors.KafkaError as error:
            return error  # type: ignore[no-any-return]  # the library is untyped
        return None

    def _reason(self, topic: str, answers_before: int) -> Exception:
        """Return why the topic is still unknown after the wait.

        kafka-python says the same of a topic that does not exist and of brokers that do not answer. But while it
        waits it asks again and again, so answers in that time tell the one from the other.
        """
        if topic in self._cluster.unauthorized_topics:
            return self._errors.TopicAuthorizationFailedError(topic)  # type: ignore[no-any-return]
        if self._answer_count == answers_before:
            return self._errors.KafkaTimeoutError("no answer about the topic in time")  # type: ignore[no-any-return]
        self._absent[topic] = monotonic() + ABSENT_FOR_SECONDS
        return self._unknown(topic)

    def _unknown(self, topic: str) -> Exception:
        return self._errors.UnknownTopicOrPartitionError(f"no topic {topic!r}")  # type: ignore[no-any-return]

    def _count_answer(self, _cluster: Any) -> None:
        self._answer_count += 1

"""One kafka-python client, from the first record after a failure to the next failure."""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any, NamedTuple

from asyncflow.integrations.kafka.python.outcomes import judge, judge_reported
from asyncflow.integrations.kafka.python.topics import Topics
from asyncflow.scheduler.publishing.publisher import SENT, Record, Rejected
from asyncflow.scheduler.publishing.sessions.suspects import Judgement

FLUSH_SECONDS = 0.1


class Refused(NamedTuple):
    """Stand where a future would, for a record that the client did not take."""

    exception: Exception
    is_done: bool = True


class PythonSession:
    """Hold a client until it reports its first failure; then it is ended and another one made.

    kafka-python's idempotent producer refuses every further record after an error that it takes for fatal,
    which are most; and a record that it still holds after a timeout it would deliver later, when we have said
    otherwise. Used by its publisher's thread alone; of the client's own threads it reads futures, which have locks.
    """

    def __init__(
        self, library: ModuleType, configuration: Mapping[str, object], absent_topics: dict[str, float]
    ) -> None:
        """Connect; raise whatever the client raises, with nothing left of it."""
        self.is_spent = False
        self._library = library
        self._networks: list[Any] = []
        try:
            self._client = library.KafkaProducer(**configuration, kafka_client=self._make_network)
        except BaseException:
            # A constructor that gives up leaves its sockets behind, unless the network client is closed for
            # it.
            for network in self._networks:
                network.close()
            raise
        self._topics = Topics(library, self._client, self._networks[0].cluster, absent_topics)

    def attempt(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        """Send the records; return what became of each, by about ``deadline`` (monotonic seconds)."""
        handed = self._hand_over(batch, self._topics.look_up({record.topic for record in batch}))
        self._wait(deadline)
        return [
            SENT if future.is_done and future.exception is None else self._failure(future, record.topic)
            for future, record in zip(handed, batch, strict=True)
        ]

    def end(self, patience_seconds: float) -> bool:
        """Drop what is unsent and wait for the client's thread; return whether it has ended."""
        # KafkaProducer.close() waits for unsent records, and when that takes too long leaves its thread
        # sending them: only its sender can be told to drop them.
        sender = self._client._sender
        sender.force_close()
        sender.join(patience_seconds)
        if sender.is_alive():
            return False
        self._client.close(timeout=0)
        return True

    def leave_to_parent(self) -> None:
        """Take back what the client has told the interpreter to do at its end: to close, once its thread is done."""
        atexit.unregister(self._client._cleanup)

    def _make_network(self, **options: Any) -> Any:
        network = self._library.KafkaProducer.DEFAULT_CONFIG["kafka_client"](**options)
        self._networks.append(network)
        return network

    def _hand_over(self, batch: Sequence[Record], unusable: dict[str, Exception]) -> list[Any]:
        """Return a future for each record, or Refused."""
        send = self._client.send
        handed: list[Any] = []
        for topic, key, value, headers in batch:
            if unusable and topic in unusable:
                handed.append(Refused(unusable[topic]))
                continue
            try:
                # kafka-python takes a list, and no other sequence.
                handed.append(send(topic, value, key, list(headers)))
            except self._library.errors.KafkaTimeoutError as error:
                # The topic is gone since it was looked up; it would keep each of its records waiting.
                unusable[topic] = error
                handed.append(Refused(error))
            except (self._library.errors.KafkaError, TypeError, ValueError) as error:
                handed.append(Refused(error))
        return handed

    def _wait(self, deadline: float) -> None:
        """Wait until the client has nothing left, or ``deadline``."""
        while (remaining := deadline - monotonic()) > 0:
            # flush() waits so long for each of its batches, one after the other, and gives up at the first that is
            # late or was split; short waits keep the sum of them short.
            with suppress(self._library.errors.KafkaError):
                self._client.flush(min(FLUSH_SECONDS, remaining))
                return

    def _failure(self, future: Any, topic: str) -> Judgement:
        if not isinstance(future, Refused):
            self.is_spent = True
            error = future.exception or self._library.errors.KafkaTimeoutError("no answer in time")
            return judge_reported(error, topic)
        outcome = judge(future.exception)
        self.is_spent |= not isinstance(outcome, Rejected)
        return outcome

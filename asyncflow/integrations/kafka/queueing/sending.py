"""The dispatcher's line: letters into the topics of their types."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from asyncflow.forks import keep_for_ever
from asyncflow.integrations.kafka.confluent.outcomes import describe
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.line import KafkaLine
from asyncflow.integrations.kafka.queueing.spread import Spread
from asyncflow.integrations.kafka.queueing.writer import TopicWriter, ToWrite, WriteAnswer, require_written
from asyncflow.integrations.kafka.topic_names import fault_of
from asyncflow.scheduler.task_queue import Parcel, QueueNames

# The broker refuses a request for one of its records, so each of them is asked for once more by itself.
_TOO_LARGE = ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE")


class KafkaSending(KafkaLine):
    """Send letters, each to where the fewest of its type wait; used by one thread."""

    def __init__(self, cluster: QueueCluster, topics: QueueNames) -> None:
        super().__init__(cluster, topics)
        self._spreads: dict[str, Spread] = {}

    def close(self) -> None:
        """Disconnect."""
        spreads, self._spreads = self._spreads, {}
        for spread in spreads.values():
            with suppress(self._cluster.library.KafkaException, RuntimeError):
                spread.close()
        super().close()

    def leave_to_parent(self) -> None:
        """Begin anew in the child of a fork."""
        keep_for_ever(self._spreads)
        self._spreads = {}
        super().leave_to_parent()

    def require_living(self) -> None:
        """Ask for a sign of life."""
        seconds = self._cluster.timeout_seconds
        self._ask(lambda: self._admin().describe_cluster(request_timeout=seconds).result())

    def send(self, parcels: Sequence[Parcel]) -> Sequence[str | None]:
        """Send them; return for each None, or why Kafka takes no letter of its size, or no topic of its name."""
        faults = [fault_of(self._topics.letters(parcel.task_type)) for parcel in parcels]
        taken = [parcel for parcel, fault in zip(parcels, faults, strict=True) if fault is None]
        answers = iter(self._ask(lambda: self._sent(taken)) if taken else [])
        return [next(answers) if fault is None else f"its type names a topic: {fault}" for fault in faults]

    def _sent(self, parcels: Sequence[Parcel]) -> list[str | None]:
        records = [self._record_of(parcel) for parcel in parcels]
        writer = self._client("writer", lambda: TopicWriter(self._cluster))
        answers = writer.write(records)
        for index, answer in enumerate(answers):
            if _is_too_large(answer) and len(records) > 1:
                (answers[index],) = writer.write([records[index]])
        require_written([answer for answer in answers if not _is_too_large(answer)])
        return [None if answer.error is None else describe(answer.error) for answer in answers]

    def _record_of(self, parcel: Parcel) -> ToWrite:
        topic = self._topics.letters(parcel.task_type)
        if topic not in self._spreads:
            self._require_topic(topic)
            self._spreads[topic] = Spread(self._cluster, self._admin(), topic)
        return ToWrite(topic, parcel.body, self._spreads[topic].place())


def _is_too_large(answer: WriteAnswer) -> bool:
    return answer.error is not None and answer.error.name() in _TOO_LARGE

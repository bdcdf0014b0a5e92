"""The publishers under test, and one that kills its own process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher, KafkaSettings
from asyncflow.scheduler import SENT, Outcome, Publisher, Record
from tests.chaos.plan import Plan
from tests.chaos.telling import die, freeze, tell
from tools.services.process import wait_until

BEFORE_PUBLISH = "before publish"
AFTER_ACKNOWLEDGEMENT = "after acknowledgement"
_SETTLED_WITHIN_SECONDS = 60.0


def publisher_of(
    client: str, bootstrap: str, settings: KafkaSettings | None = None, *, on_mock: bool = False
) -> Publisher:
    """Return the publisher that runs on a client library; the mock cluster speaks an older protocol."""
    if client == "kafka-python":
        return KafkaPublisher(bootstrap, settings, client_options={"api_version": (2, 0)} if on_mock else None)
    return ConfluentKafkaPublisher(bootstrap, settings)


class LethalPublisher:
    """Kill or freeze the process at ``die_at`` of batch number ``die_on``, counted from 1.

    ``are_settled`` tells whether all messages of some ids are: those of the batches before may be settled beside, and
    the end is to concern its own batch alone.
    """

    def __init__(self, publisher: Publisher, plan: Plan, are_settled: Callable[[Collection[str]], bool]) -> None:
        self._publisher = publisher
        self._end = die if plan.die_how == "kill" else freeze
        self._die_at = plan.die_at
        self._die_on = plan.die_on
        self._are_settled = are_settled
        self._batches = 0
        self._sent: list[str] = []

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self._batches += 1
        self._die_if(BEFORE_PUBLISH, len(batch))
        outcomes = self._publisher.publish(batch)
        self._die_if(AFTER_ACKNOWLEDGEMENT, len(batch))
        if self._batches < self._die_on:
            ids = (dict(record.headers)["message-id"].decode() for record in batch)
            self._sent += [one for one, outcome in zip(ids, outcomes, strict=True) if outcome == SENT]
        return outcomes

    def close(self) -> None:
        self._publisher.close()

    def _die_if(self, point: str, records: int) -> None:
        if point == self._die_at and self._batches == self._die_on:
            wait_until(lambda: self._are_settled(self._sent), _SETTLED_WITHIN_SECONDS)
            tell("dying", point=point, records=records)
            self._end()

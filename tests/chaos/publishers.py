"""The publishers under test, and one that kills its own process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher, KafkaSettings
from asyncflow.scheduler import Outcome, Publisher, Record
from tests.chaos.telling import die, freeze, tell

BEFORE_PUBLISH = "before publish"
AFTER_ACKNOWLEDGEMENT = "after acknowledgement"
_SETTLES_BESIDE_SECONDS = 1.0


def publisher_of(
    client: str, bootstrap: str, settings: KafkaSettings | None = None, *, on_mock: bool = False
) -> Publisher:
    """Return the publisher that runs on a client library; the mock cluster speaks an older protocol."""
    if client == "kafka-python":
        return KafkaPublisher(bootstrap, settings, client_options={"api_version": (2, 0)} if on_mock else None)
    return ConfluentKafkaPublisher(bootstrap, settings)


class LethalPublisher:
    """Kill or freeze the process at ``die_at`` of batch number ``die_on``, counted from 1."""

    def __init__(self, publisher: Publisher, die_at: str, die_on: int, die_how: str = "kill") -> None:
        self._publisher = publisher
        self._end = die if die_how == "kill" else freeze
        self._die_at = die_at
        self._die_on = die_on
        self._batches = 0

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self._batches += 1
        self._die_if(BEFORE_PUBLISH, len(batch))
        outcomes = self._publisher.publish(batch)
        self._die_if(AFTER_ACKNOWLEDGEMENT, len(batch))
        return outcomes

    def close(self) -> None:
        self._publisher.close()

    def _die_if(self, point: str, records: int) -> None:
        if point == self._die_at and self._batches == self._die_on:
            # The round before may be settled beside; this end is to concern this batch alone.
            time.sleep(_SETTLES_BESIDE_SECONDS)
            tell("dying", point=point, records=records)
            self._end()

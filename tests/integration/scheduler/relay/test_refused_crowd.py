"""A crowd that is refused again and again fills no round, and has its turns all the same."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from asyncflow import Message
from asyncflow.scheduler import SENT, Outcome, Record, Retry
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application

CROWD, HEALTHY = 1000, 10
_MOST_OF_A_ROUND = 400  # twice a hundred, as a round may grow; and as many of the newest rows
_TRIES = 4


class Refusing(MemoryPublisher):
    """Refuse all with a key, and count how often each was refused, and how many of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.tries: Counter[bytes] = Counter()
        self.refused: list[int] = []

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        super().publish([record for record in batch if record.key is None])
        keys = [record.key for record in batch if record.key is not None]
        self.tries.update(keys)
        self.refused.append(len(keys))
        return [SENT if record.key is None else Retry("busy") for record in batch]


def test_of_a_crowd_that_is_refused_a_round_has_a_part_and_each_has_its_turns(
    application: Application, schedule: Schedule
) -> None:
    application.outbox.message(
        "moved", max_retries=10_000, retry_interval_seconds=0.05, max_retry_interval_seconds=0.05
    )
    with application.session() as session, session.begin():
        application.outbox.publish_many(session, "moved", [Message(1, key=str(number)) for number in range(CROWD)])
    publisher = Refusing()
    scheduler = schedule(publisher)
    scheduler.ownership.acquire()
    committed, deadline = 0, time.monotonic() + 120

    def are_tried() -> bool:
        return len(publisher.tries) == CROWD and min(publisher.tries.values()) >= _TRIES

    while not are_tried() or len(publisher.records) < HEALTHY:
        assert time.monotonic() < deadline, "some have no turn"
        time.sleep(min(0.01, scheduler.relays[0].step()))
        if committed < HEALTHY and len(publisher.records) == committed:
            publish_many(application, 1, "moved" if committed % 2 else "user.registered")
            committed += 1
    assert max(publisher.refused) <= _MOST_OF_A_ROUND

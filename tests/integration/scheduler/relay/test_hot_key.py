"""A key with a long backlog: its neighbours are delivered as soon as if it were not there, or little later."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine

from asyncflow import Message
from asyncflow.scheduler import Outcome, Record
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.relay.test_order import MOVED, declare, neighbours_of
from tests.support.application import Application
from tests.support.databases import drop_everything
from tests.support.lateness import Lateness
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
ROWS, NEIGHBOURS = 6000, 20


class Watch(MemoryPublisher):
    """Note when each key was first delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[bytes | None, float] = {}

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        for record in batch:
            self.first.setdefault(record.key, time.monotonic())
        return super().publish(batch)


def seconds_until_delivered(engine: Engine, hot: int) -> float:
    """Return how long a scheduler that starts takes until all neighbours have their first message."""
    application = Application(engine)
    declare(application)
    keys = neighbours_of("hot", NEIGHBOURS, application.outbox.shard_count)
    with application.engine.begin() as connection:
        for _ in range(0, hot, 1000):
            application.outbox.publish_many(connection, MOVED, [Message(b"1", key="hot")] * 1000)
        for key in keys:
            application.outbox.publish(connection, MOVED, b"1", key=key)
    watch = Watch()
    began = time.monotonic()
    wanted = {key.encode() for key in keys}
    with application.scheduler(watch):
        eventually(lambda: wanted <= watch.first.keys())
    drop_everything(engine)
    return max(watch.first[key] for key in wanted) - began


def test_neighbours_of_a_hot_key_are_delivered_almost_as_soon_as_without_it(engine: Engine) -> None:
    with Lateness(engine) as machine:
        without = min(seconds_until_delivered(engine, 0) for _ in range(2))
        beside = min(seconds_until_delivered(engine, ROWS) for _ in range(2))
    # Generous: to read past the rows takes tens of milliseconds, to set them aside took seconds.
    assert beside < 1.5 * without + 0.5 + 4 * machine.worst

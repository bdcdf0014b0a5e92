"""A crowd that is refused at once is not due again at one moment."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from asyncflow.outbox.clock import seconds_until
from asyncflow.scheduler import Retry
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application

CROWD = 1000
_SECONDS = 3600.0
_PASSED = 600.0  # at most, while the test runs
_PIECE = 150  # rows of a round of a thousand; two rounds may have a moment in common


def test_a_crowd_that_is_refused_is_due_again_in_pieces_none_early_and_none_late(
    application: Application, schedule: Schedule
) -> None:
    application.outbox.message("moved", retry_interval_seconds=_SECONDS, max_retry_interval_seconds=_SECONDS)
    publish_many(application, CROWD, "moved")
    publisher = MemoryPublisher(lambda _: Retry("busy"))
    schedule(publisher).drain()
    assert len(publisher.records) == CROWD
    t = application.outbox.tasks.c
    rows = application.rows(select(t.order_time, seconds_until(t.order_time), t.retry_count))
    assert {row[2] for row in rows} == {1}
    moments = Counter(row[0] for row in rows)
    assert max(moments.values()) <= _PIECE
    waits = [float(row[1]) for row in rows]
    assert min(waits) > _SECONDS - _PASSED
    assert max(waits) <= _SECONDS * 1.5

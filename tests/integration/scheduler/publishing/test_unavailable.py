from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from asyncflow import Scheduler, Status
from asyncflow.events import BreakerChanged, TasksSettled
from asyncflow.scheduler import SENT, Outcome, Record, Unavailable
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import Switch, ids_of
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import publish, publish_many, statements, texts
from tests.support.application import Application


class Clock:
    """Stand still until told."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.now = 0.0
        for relay in scheduler.relays:
            relay.breaker._clock = lambda: self.now


def states(application: Application, destination: str = "kafka") -> list[str]:
    return [event.state for event in application.signals.of(BreakerChanged) if event.destination == destination]


def test_no_attempt_is_spent_and_no_row_touched(application: Application, schedule: Schedule) -> None:
    publish_many(application, 10)
    before = application.rows()
    scheduler = schedule(Switch(away=True))
    clock = Clock(scheduler)
    for _ in range(10):
        scheduler.drain()
        clock.now += 100
    assert application.rows() == before
    assert application.signals.of(TasksSettled) == []


def test_the_breaker_opens_and_nothing_is_fetched_while_it_is_open(
    application: Application, schedule: Schedule
) -> None:
    publish_many(application, 10)
    publisher = Switch(away=True)
    scheduler = schedule(publisher, breaker_pause_seconds=1)
    clock = Clock(scheduler)
    scheduler.drain()
    with statements(application.engine) as sent:
        for _ in range(100):
            clock.now += 0.009
            assert 0 < scheduler.relays[0].step() <= 1
    assert sent == []
    assert publisher.batches == [10]
    assert states(application) == ["open"]


def test_one_row_probes_after_the_pause_and_pauses_double(application: Application, schedule: Schedule) -> None:
    publish_many(application, 10)
    publisher = Switch(away=True)
    scheduler = schedule(publisher, breaker_pause_seconds=1, max_breaker_pause_seconds=3)
    clock = Clock(scheduler)
    scheduler.ownership.acquire()
    waits = []
    for _ in range(5):
        waits.append(scheduler.relays[0].step())
        clock.now += waits[-1]
    assert publisher.batches == [10, 1, 1, 1, 1]
    assert waits == pytest.approx([1, 2, 3, 3, 3])


def test_after_a_good_probe_everything_flows(application: Application, schedule: Schedule) -> None:
    ids = publish_many(application, 10)
    publisher = Switch(away=True)
    scheduler = schedule(publisher)
    clock = Clock(scheduler)
    scheduler.drain()
    publisher.away = False
    clock.now += 100
    scheduler.drain()
    # What shares a shard with the probe may wait until the probe is settled.
    assert publisher.batches[:2] == [10, 1]
    assert len(publisher.batches) <= 4
    assert sorted(ids_of(publisher)) == sorted(texts(ids))
    assert set(application.statuses()) == {Status.SUCCESS}
    assert states(application) == ["open", "half-open", "closed"]


def test_what_was_sent_of_a_broken_batch_is_settled(application: Application, schedule: Schedule) -> None:
    class Half(MemoryPublisher):
        def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
            outcomes: list[Outcome] = [SENT] * (len(batch) // 2)
            return outcomes + [Unavailable("connection reset")] * (len(batch) - len(outcomes))

    publish_many(application, 10)
    schedule(Half(), breaker_pause_seconds=600, max_breaker_pause_seconds=600).drain()
    statuses = application.statuses()
    assert (statuses.count(Status.SUCCESS), statuses.count(Status.PENDING)) == (5, 5)
    assert {row.retry_count for row in application.rows()} == {0}
    assert states(application) == ["open"]


def test_a_probe_whose_builder_fails_says_nothing_of_the_destination(
    application: Application, schedule: Schedule
) -> None:
    @application.outbox.message("built")
    def broken(session: Any, tasks: Any) -> list[Any]:
        raise RuntimeError("no payload today")

    publish(application)
    publisher = Switch(away=True)
    scheduler = schedule(publisher)
    clock = Clock(scheduler)
    scheduler.drain()
    with application.session() as session, session.begin():
        application.outbox.publish(session, "built", key="A1")
    clock.now += 100
    scheduler.ownership.acquire()
    assert scheduler.relays[0].step() == 0
    assert scheduler.relays[0].breaker.state == "half-open"
    assert publisher.batches == [1]


def test_a_dead_destination_leaves_another_alone(application: Application, schedule: Schedule) -> None:
    application.outbox.message("coupon", destination="cluster_b")
    publish_many(application, 200)
    coupons = publish_many(application, 200, "coupon")
    alive = MemoryPublisher()
    schedule({"kafka": Switch(away=True), "cluster_b": alive}, round_size=50).start()
    wait_for_settled(application.signals, "cluster_b", 200)
    assert sorted(ids_of(alive)) == sorted(texts(coupons))
    dead = [row for row in application.rows() if row.task_type == "user.registered"]
    assert {(row.status, row.retry_count, row.schedule_log) for row in dead} == {(Status.PENDING, 0, None)}
    assert states(application, "cluster_b") == []


def test_a_destination_that_comes_back_is_found_by_itself(application: Application, schedule: Schedule) -> None:
    publish_many(application, 10)
    publisher = Switch(away=True)
    schedule(publisher, breaker_pause_seconds=0.01, max_breaker_pause_seconds=0.02).start()
    application.signals.wait_for(BreakerChanged, lambda event: event.state == "half-open")
    publisher.away = False
    wait_for_settled(application.signals, "kafka", 10)
    assert len(ids_of(publisher)) == len(set(ids_of(publisher))) == 10

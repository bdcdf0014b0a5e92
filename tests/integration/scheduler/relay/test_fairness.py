from __future__ import annotations

import time
from collections import Counter
from math import ceil
from typing import Any

from sqlalchemy import Engine

from asyncflow import Scheduler, Status
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import Gate, ids_of
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import publish, publish_many, texts
from tests.support.application import Application


def rounds_until(scheduler: Scheduler, publisher: MemoryPublisher, topic: str, most: int) -> int:
    """Step the relay until a record of ``topic`` came; return the number of rounds."""
    scheduler.ownership.acquire()
    for number in range(1, most + 1):
        scheduler.relays[0].step()
        if any(record.topic == topic for record in publisher.records):
            return number
    raise AssertionError(f"no {topic} within {most} rounds")


def test_a_single_row_is_served_in_the_round_of_a_huge_backlog(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine, shard_count=8)
    application.outbox.message("coupon")
    publish_many(application, 2000)
    publish(application, task_type="coupon")
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=64))
    assert rounds_until(made[0], publisher, "coupon", 1) == 1
    assert 1 < len(publisher.records) <= 64


def test_what_appears_while_a_backlog_streams_is_served_a_moment_later(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine, shard_count=8)
    application.outbox.message("coupon")
    publish_many(application, 2000)
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=64))
    made[0].ownership.acquire()
    made[0].relays[0].step()
    publish(application, task_type="coupon")
    time.sleep(0.51)  # as long as what is due is remembered at most
    # The first one may find that a round is still being settled, and take the other half.
    assert rounds_until(made[0], publisher, "coupon", 2) <= 2


def test_a_backlog_that_vanished_hides_nothing_that_is_there(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine, shard_count=8)
    application.outbox.message("coupon")
    publish_many(application, 2000)
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=64))
    made[0].ownership.acquire()
    made[0].relays[0].step()
    with engine.begin() as connection:
        connection.execute(application.outbox.tasks.delete().where(application.outbox.tasks.c.status == Status.PENDING))
    publish(application, task_type="coupon")
    assert rounds_until(made[0], publisher, "coupon", 1) == 1


def test_no_pair_starves_where_more_are_due_than_a_round_serves(application: Application, schedule: Schedule) -> None:
    """Each waits for those before it, and for as many more as the rounds have that read each of them once."""
    types = [f"type.{number}" for number in range(3)]
    for name in types:
        application.outbox.message(name)
        publish_many(application, 700, name)
    publish(application)
    rows = application.rows()
    lanes = {(row.task_type, row.shard): row.id for row in rows}
    assert len(lanes) > 128
    publisher = MemoryPublisher()
    scheduler = schedule(publisher, round_size=200)
    scheduler.drain()
    taken = ids_of(publisher)
    assert Counter(taken) == Counter(str(row.id) for row in rows)
    place = {task_id: number for number, task_id in enumerate(taken)}
    rounds = ceil(len(lanes) / 64) + 1
    first = {(row.task_type, row.shard): row for row in sorted(rows, key=lambda row: row.order_time, reverse=True)}
    for row in first.values():
        before = sum(other.order_time <= row.order_time for other in rows if other.task_type == row.task_type)
        assert place[str(row.id)] <= 3 * before + 200 * rounds


def test_types_take_turns_even_one_row_at_a_time(engine: Engine, made: list[Any]) -> None:
    application = Application(engine, shard_count=1)
    types = ["a", "b", "c"]
    for name in types:
        application.outbox.message(name)
        publish_many(application, 3, name)
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=1))
    made[0].drain()
    assert [record.topic for record in publisher.records] == types * 3


def test_a_destination_that_hangs_does_not_hold_up_another(application: Application, schedule: Schedule) -> None:
    application.outbox.message("coupon", destination="cluster_b")
    stuck = publish_many(application, 10)
    hanging, flowing = Gate(), Gate()
    flowing.opened.set()
    schedule({"kafka": hanging, "cluster_b": flowing}).start()
    hanging.wait()
    coupons = publish_many(application, 10, "coupon")
    wait_for_settled(application.signals, "cluster_b", 10)
    assert sorted(ids_of(flowing)) == sorted(texts(coupons))
    assert hanging.records == []
    hanging.opened.set()
    wait_for_settled(application.signals, "kafka", 10)
    assert sorted(ids_of(hanging)) == sorted(texts(stuck))

"""A consumer on RocketMQ: the suite of consumers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from asyncflow.events import StepFailed
from tests.integration.consuming.queues import record_of
from tests.integration.consuming.suite import Make, QueueConsumerSuite
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


class TestRocketMQConsumer(QueueConsumerSuite):
    @pytest.fixture
    def queues(self, rocketmq_url: str) -> Iterator[object]:
        from tests.integration.integrations.rocketmq.consuming.queues import RocketMQQueues, make_consumer

        self.make_consumer = make_consumer
        queues = RocketMQQueues(rocketmq_url)
        yield queues
        queues.close()

    def test_a_topic_that_is_not_there_yet_is_waited_for(
        self, sqlite_application: Application, make: Make, queues: Any, group: str
    ) -> None:
        topic, seen = queues.rockets.unroutable_topic(), list[int]()
        consumer = make()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen.append(number)

        with consumer:
            eventually(lambda: sqlite_application.signals.of(StepFailed))
            queues.rockets.client.make_topic(topic)
            queues.publish(topic, [{"number": 1}])
            eventually(lambda: seen == [1])
            eventually(lambda: queues.left(topic, group) == 0)

    def test_what_was_sent_twice_and_is_held_at_once_is_acknowledged_twice(
        self, make: Make, queues: Any, topic: str, group: str
    ) -> None:
        consumer, seen = make(), list[int]()
        may_end = threading.Event()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen.append(number)
            may_end.wait(60)

        twice = record_of(topic, {"number": 1}, "coupon.granted")
        queues.publish(topic, [{"number": 0}])
        queues.publish_records([twice])
        queues.publish_records([twice])
        with consumer:
            eventually(lambda: seen == [0])
            eventually(lambda: len(consumer._client._receipts.all()) == 3)  # type: ignore[union-attr]
            may_end.set()
            eventually(lambda: queues.left(topic, group) == 0)
        assert seen == [0, 1]

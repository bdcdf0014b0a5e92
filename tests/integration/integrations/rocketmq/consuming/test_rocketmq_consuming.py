"""A consumer on RocketMQ: the suite of consumers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from asyncflow.events import StepFailed
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

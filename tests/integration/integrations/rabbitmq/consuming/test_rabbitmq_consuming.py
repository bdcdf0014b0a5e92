"""A consumer on RabbitMQ: the suite of consumers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from asyncflow import TaskContext
from asyncflow.events import StepFailed
from tests.integration.consuming.suite import Make, QueueConsumerSuite
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


class TestRabbitMQConsumer(QueueConsumerSuite):
    @pytest.fixture
    def queues(self, rabbitmq_url: str) -> Iterator[object]:
        from tests.integration.integrations.rabbitmq.consuming.queues import RabbitQueues, make_consumer

        self.make_consumer = make_consumer
        queues = RabbitQueues(rabbitmq_url)
        yield queues
        queues.close()

    def test_a_queue_that_was_deleted_is_waited_for(
        self, sqlite_application: Application, make: Make, queues: Any, topic: str
    ) -> None:
        consumer, seen = make(), list[int]()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen.append(number)

        queues.publish(topic, [{"number": 1}])
        with consumer:
            eventually(lambda: seen == [1])
            queues.rabbit.channel.queue_delete(topic)
            eventually(lambda: "NOT_FOUND" in str(sqlite_application.signals.of(StepFailed)[-1:]))
            queues.rabbit.channel.queue_declare(topic, durable=True)
            queues.rabbit.channel.queue_bind(topic, topic, "#")
            queues.publish(topic, [{"number": 2}])
            eventually(lambda: seen == [1, 2])

    def test_a_channel_that_the_broker_closes_is_noticed_while_all_that_it_gave_only_waits(
        self, sqlite_application: Application, make: Make, queues: Any, topic: str
    ) -> None:
        consumer, seen = make(prefetch=1), list[int]()

        @consumer.subscribe("coupon.granted", topic=topic, retry_interval_seconds=600, max_retry_interval_seconds=600)
        def coupons(session: Session, ctx: TaskContext, number: int) -> None:
            seen.append(ctx.attempt)
            if ctx.attempt == 1:
                raise LookupError("not yet")

        queues.publish(topic, [{"number": 1}])
        with consumer:
            eventually(lambda: seen == [1])
            client: Any = consumer._client
            client._soon(lambda: client._channel.basic_ack(999))  # for a tag that nobody has the broker ends a channel
            eventually(lambda: seen == [1, 2])
        assert "unknown delivery tag 999" in str(sqlite_application.signals.of(StepFailed)[0].error)

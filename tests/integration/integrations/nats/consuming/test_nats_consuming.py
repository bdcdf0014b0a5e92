"""A consumer on NATS JetStream: the suite of consumers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from asyncflow.events import StepFailed
from tests.integration.consuming.suite import Make, QueueConsumerSuite
from tests.integration.integrations.nats.jets import stream_of
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


class TestNatsConsumer(QueueConsumerSuite):
    @pytest.fixture
    def queues(self, nats_url: str) -> Iterator[object]:
        from tests.integration.integrations.nats.consuming.queues import NatsQueues, make_consumer

        self.make_consumer = make_consumer
        queues = NatsQueues(nats_url)
        yield queues
        queues.close()

    def test_a_durable_consumer_of_another_subject_is_not_taken(
        self, sqlite_application: Application, make: Make, queues: Any, group: str
    ) -> None:
        one = queues.make_topic()
        queues.jets.client.api(
            f"CONSUMER.DURABLE.CREATE.{stream_of(one)}.{group}-{one.replace('.', '_')}",
            {
                "stream_name": stream_of(one),
                "config": {"durable_name": f"{group}-{one.replace('.', '_')}", "ack_policy": "explicit"},
            },
        )
        consumer = make()

        @consumer.subscribe("coupon.granted", topic=one)
        def coupons(session: Session) -> None: ...

        with consumer:
            eventually(lambda: "choose another group" in str(sqlite_application.signals.of(StepFailed)[-1:]))

    def test_a_stream_that_is_not_there_yet_is_waited_for(
        self, sqlite_application: Application, make: Make, queues: Any, group: str
    ) -> None:
        topic, seen = queues.jets.new_subject("test"), list[int]()
        consumer = make()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen.append(number)

        with consumer:
            eventually(lambda: sqlite_application.signals.of(StepFailed))
            queues.jets.make_stream(topic)
            queues.publish(topic, [{"number": 1}])
            eventually(lambda: seen == [1])
        assert queues.left(topic, group) == 0

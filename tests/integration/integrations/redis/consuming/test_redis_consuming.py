"""A consumer on Redis: the suite of consumers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from asyncflow.integrations.redis import RedisSettings
from tests.integration.consuming.suite import Make, QueueConsumerSuite
from tests.unit.scheduler.waiting import eventually


class TestRedisConsumer(QueueConsumerSuite):
    @pytest.fixture
    def queues(self, redis_url: str) -> Iterator[object]:
        from tests.integration.integrations.redis.consuming.queues import RedisQueues, make_consumer

        self.make_consumer = make_consumer
        queues = RedisQueues(redis_url)
        yield queues
        queues.close()

    def test_a_topic_may_be_spread_over_streams_and_who_leaves_is_no_member_any_more(
        self, make: Make, queues: Any, topic: str, group: str
    ) -> None:
        spread = RedisSettings(streams_per_topic=3)
        streams, seen = spread.streams_of(topic), list[int]()
        consumer = make(settings=spread)

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen.append(number)

        for number, stream in enumerate(streams):
            queues.publish(stream, [{"number": number}])
        with consumer:
            eventually(lambda: len(seen) == 3)
        assert sorted(seen) == [0, 1, 2]
        assert [queues.left(stream, group) for stream in streams] == [0, 0, 0]
        client = queues.streams.client
        assert [client.xinfo_consumers(stream, group) for stream in streams] == [[], [], []]
        client.delete(*streams)

    def test_an_entry_that_was_trimmed_while_it_was_held_holds_up_nobody(
        self, make: Make, queues: Any, topic: str, group: str
    ) -> None:
        client, seen = queues.streams.client, list[int]()
        queues.publish(topic, [{"number": 1}])
        client.xgroup_create(topic, group, "0")
        assert client.xreadgroup(group, "dead", {topic: ">"})
        client.xtrim(topic, 0)
        queues.publish(topic, [{"number": 2}])
        consumer = make()

        @consumer.subscribe("coupon.granted", topic=topic)
        def coupons(session: Session, number: int) -> None:
            seen.append(number)

        with consumer:
            eventually(lambda: seen == [2])
            eventually(lambda: queues.left(topic, group) == 0)

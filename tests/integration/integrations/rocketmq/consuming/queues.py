"""RocketMQ as the suite of consumers needs it."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from asyncflow.integrations.rocketmq.consuming import RocketMQConsumer
from tests.integration.consuming.queues import QueuesUnderTest
from tests.integration.integrations.rocketmq.plain_client import PlainClient
from tests.integration.integrations.rocketmq.rockets import Rockets


class RocketMQQueues(QueuesUnderTest):
    """Lead to RocketMQ, with groups that take the messages of a queue in their order."""

    module = __name__
    with_silence: ClassVar[dict[str, Any]] = {"dead_after_seconds": 20.0}

    def __init__(self, url: str) -> None:
        self.rockets = Rockets(url)
        self.proxy, self.url = self.rockets.proxy, self.rockets.url

    def make_topic(self) -> str:
        return self.rockets.make_topic(queues=1)  # so that messages without a key have an order, too

    def make_publisher(self) -> Any:
        return self.rockets.make_publisher()

    def left(self, topic: str, group: str) -> int:
        return self.rockets.client.left(topic, group)

    def close(self) -> None:
        self.rockets.close()


def make_consumer(engine: Any, outbox: Any, inbox: Any, url: str, *, group: str, **options: Any) -> RocketMQConsumer:
    parts = urlsplit(url)
    host, port = parse_qs(parts.query)["broker"][0].split(":")
    PlainClient(host, int(port)).make_orderly_group(group)
    its = {"dead_after_seconds": 10.0, **options}
    return RocketMQConsumer(engine, outbox, inbox, f"{parts.hostname}:{parts.port}", group=group, **its)

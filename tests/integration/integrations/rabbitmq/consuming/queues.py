"""RabbitMQ as the suite of consumers needs it."""

from __future__ import annotations

from typing import Any, ClassVar

from asyncflow.integrations.rabbitmq import RabbitMQSettings
from asyncflow.integrations.rabbitmq.consuming import RabbitMQConsumer
from tests.integration.consuming.queues import QueuesUnderTest
from tests.integration.integrations.rabbitmq.rabbit import Rabbit


class RabbitQueues(QueuesUnderTest):
    """Lead to RabbitMQ, whose queues are its groups."""

    module = __name__
    with_silence: ClassVar[dict[str, Any]] = {"settings": RabbitMQSettings(heartbeat_seconds=20)}

    def __init__(self, url: str) -> None:
        self.rabbit = Rabbit(url)
        self.proxy, self.url = self.rabbit.proxy, self.rabbit.url

    def make_topic(self) -> str:
        return self.rabbit.make_topic()

    def make_publisher(self) -> Any:
        return self.rabbit.make_publisher()

    def left(self, topic: str, group: str) -> int:
        """Return how many are ready: those of a consumer that has ended are."""
        count: int = self.rabbit.channel.queue_declare(topic, passive=True).method.message_count
        return count

    def close(self) -> None:
        self.rabbit.close()


def make_consumer(*given: Any, group: str, **options: Any) -> RabbitMQConsumer:
    return RabbitMQConsumer(*given, **options)

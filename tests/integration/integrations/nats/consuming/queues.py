"""NATS JetStream as the suite of consumers needs it."""

from __future__ import annotations

from typing import Any, ClassVar

from asyncflow.integrations.nats.consuming import NatsConsumer
from tests.integration.consuming.queues import QueuesUnderTest
from tests.integration.integrations.nats.jets import Jets, stream_of


class NatsQueues(QueuesUnderTest):
    """Lead to NATS, as a user who may make consumers."""

    module = __name__
    with_silence: ClassVar[dict[str, Any]] = {"dead_after_seconds": 20.0}

    def __init__(self, url: str) -> None:
        self.jets = Jets(url)
        self.proxy, self.url = self.jets.proxy, self.jets.url_of("asyncflow")

    def make_topic(self) -> str:
        return self.jets.make_topic()

    def make_publisher(self) -> Any:
        return self.jets.make_publisher(user="asyncflow")

    def left(self, topic: str, group: str) -> int:
        """Return how many are held by consumers, and how many none has had."""
        name = f"{group}-{topic}".replace(".", "_")
        info = self.jets.client.api(f"CONSUMER.INFO.{stream_of(topic)}.{name}")
        count: int = info["num_pending"] + info["num_ack_pending"]
        return count

    def close(self) -> None:
        self.jets.close()


def make_consumer(*given: Any, **options: Any) -> NatsConsumer:
    return NatsConsumer(*given, **{"dead_after_seconds": 5.0, **options})

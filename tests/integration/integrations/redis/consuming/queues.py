"""Redis as the suite of consumers needs it."""

from __future__ import annotations

from typing import Any, ClassVar

from asyncflow.integrations.redis.consuming import RedisConsumer
from tests.integration.consuming.queues import QueuesUnderTest
from tests.integration.integrations.redis.streams import Streams


class RedisQueues(QueuesUnderTest):
    """Lead to Redis."""

    module = __name__
    with_silence: ClassVar[dict[str, Any]] = {"dead_after_seconds": 20.0}

    def __init__(self, url: str) -> None:
        self.streams = Streams(url)
        self.proxy, self.url = self.streams.proxy, self.streams.url

    def make_topic(self) -> str:
        return self.streams.make_topic()

    def make_publisher(self) -> Any:
        return self.streams.make_publisher()

    def left(self, topic: str, group: str) -> int:
        """Return how many its members hold, and how many none has had."""
        for one in self.streams.client.xinfo_groups(topic):
            if one["name"] == group.encode():
                count: int = one["pending"] + one["lag"]
                return count
        return 0

    def close(self) -> None:
        self.streams.close()


def make_consumer(*given: Any, **options: Any) -> RedisConsumer:
    return RedisConsumer(*given, **{"dead_after_seconds": 5.0, **options})

"""The broker of one run: the mock cluster, or the Kafka that `make services` started."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from examples.registration_demo.show.processes import Processes

ANSWER_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Tell where the broker is, and which topic is this run's own.

    ``pid`` is None if the process is not ours to stop; ``why_not`` tells the reason.
    """

    title: str
    address: str
    topic: str
    pid: int | None
    is_real: bool = False
    why_not: str = ""

    def group_of(self, service: str) -> str:
        """Return the name of a service's consumer group, for this run."""
        return f"{self.topic}.{service}"

    def messages(self) -> int | None:
        """Return how many messages the topic holds; None while the broker does not know, being just back."""
        reader = Consumer({**self.client(), "group.id": self.group_of("reader")})
        try:
            topic = reader.list_topics(self.topic, timeout=ANSWER_SECONDS).topics[self.topic]
            partitions = [TopicPartition(self.topic, number) for number in topic.partitions]
            ends = [reader.get_watermark_offsets(one, timeout=ANSWER_SECONDS) for one in partitions]
        except KafkaException:
            return None
        finally:
            reader.close()
        return sum(high - low for low, high in ends) if ends else None

    def client(self) -> dict[str, Any]:
        """Return how a client of the show reaches the broker, keeping its complaints from the screen."""
        return {"bootstrap.servers": self.address, "log_level": 0}


def new_topic() -> str:
    """Return the name of a topic that no other run uses."""
    return f"demo-{os.getpid()}-{secrets.token_hex(4)}.user.registered"


async def mock_broker(processes: Processes) -> Broker:
    """Start the mock cluster."""
    topic = new_topic()
    child = processes.start("broker", "-m", "examples.registration_demo.show.mock_broker", topic)
    address = await child.answer(r"serves at (\S+)\n")
    return Broker(title="a Kafka-protocol broker", address=address, topic=topic, pid=child.pid)

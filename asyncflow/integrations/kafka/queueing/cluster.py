"""The cluster of brokers that a queue is on, and the clients by which it is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

from asyncflow.integrations.kafka.client_log import ClientLog
from asyncflow.integrations.kafka.confluent.options import security
from asyncflow.integrations.kafka.settings import KafkaSettings

Hear = Callable[[Any], None]
# A reader that is killed is missed so soon. Brokers allow no less by default.
_SESSION_MS = 6000
_HEARTBEAT_MS = 1000


@dataclass(frozen=True)
class QueueCluster:
    """Make clients of one cluster; holds nothing of a process.

    ``partitions`` are those of topics that are made, ``options`` librdkafka's own, laid over what ``settings`` say.
    """

    library: ModuleType
    servers: str
    settings: KafkaSettings
    partitions: int
    options: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def timeout_seconds(self) -> float:
        """Return how long one question to the brokers may take."""
        return self.settings.delivery_timeout_seconds

    @property
    def admin_library(self) -> ModuleType:
        """Return the module that makes topics and asks for offsets."""
        return import_module(f"{self.library.__name__}.admin")

    def admin(self, hear: Hear) -> Any:
        """Return a client that makes topics and asks for offsets; ``hear`` is given, as it is polled, what it meets."""
        return self.admin_library.AdminClient({**self._common(), "error_cb": hear}, logger=ClientLog())

    def producer(self, most_bytes: int, hear: Hear) -> Any:
        """Return a client that writes; ``hear`` is given what it meets beside."""
        own = {
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": round(self.timeout_seconds * 1000),
            "compression.type": self.settings.compression or "none",
            "message.max.bytes": most_bytes,
            "error_cb": hear,
        }
        return self.library.Producer({**self._common(), **own, "logger": ClientLog()})

    def consumer(self, group: str, patience_seconds: float, hear: Hear) -> Any:
        """Return a client that reads as one member of a group, from the beginning where nobody has read.

        One that asks for nothing as long as that leaves the group until it asks again.
        """
        own = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",  # who joins stops nobody else
            "session.timeout.ms": _SESSION_MS,
            "heartbeat.interval.ms": _HEARTBEAT_MS,
            "max.poll.interval.ms": round(patience_seconds * 1000),
            "error_cb": hear,
        }
        return self.library.Consumer({**self._common(), **own, "logger": ClientLog()})

    def onlooker(self, group: str) -> Any:
        """Return a client that asks what a group has taken, and is no member of it."""
        return self.library.Consumer(
            {**self._common(), "group.id": group, "enable.auto.commit": False, "logger": ClientLog()}
        )

    def _common(self) -> Mapping[str, object]:
        return {
            "bootstrap.servers": self.servers,
            "client.id": self.settings.client_id,
            "reconnect.backoff.max.ms": 1000,
            # A topic that the brokers made for who looks or writes after its deletion would keep the senders' times.
            "allow.auto.create.topics": False,
            **security(self.settings),
            **self.options,
        }

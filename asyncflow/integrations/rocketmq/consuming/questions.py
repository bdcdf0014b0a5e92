"""What a consumer asks of a proxy: requests, made for one group."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Any

from asyncflow.integrations.rocketmq.extras import Client

# The proxy takes no shorter wait for messages, and brokers give no more of them at once.
WAIT_SECONDS = 5
MOST_AT_ONCE = 32
# Before it is given to others; the proxy itself gives back so what it could not bring.
GIVEN_BACK_SECONDS = 1


class Questions:
    """Make requests of one group; lives as long as its consumer."""

    def __init__(self, client: Client, namespace: str, group: str, dead_after_seconds: float) -> None:
        self.client = client
        self.dead_after_seconds = dead_after_seconds
        self._protocol: Any = client.protocol
        self._namespace = namespace
        self._group = group
        self._kind = client.protocol.ClientType.SIMPLE_CONSUMER
        self._all = {"type": client.protocol.FilterType.TAG, "expression": "*"}

    def settings(self, topics: Collection[str]) -> Any:
        """Say who this client is, and what it subscribes to."""
        subscription = {
            "group": self._named(self._group),
            "subscriptions": [{"topic": self._named(one), "expression": self._all} for one in topics],
            "long_polling_timeout": _duration(WAIT_SECONDS),
        }
        its = {
            "client_type": self._kind,
            "user_agent": {"language": self._protocol.Language.PYTHON, "hostname": socket.gethostname()},
            "subscription": subscription,
        }
        return self._protocol.TelemetryCommand(settings=its)

    def sign_of_life(self) -> Any:
        """Say that this client is there."""
        return self._protocol.HeartbeatRequest(client_type=self._kind, group=self._named(self._group))

    def farewell(self) -> Any:
        """Say that this client goes."""
        return self._protocol.NotifyClientTerminationRequest(group=self._named(self._group))

    def messages(self, topic: str, count: int) -> Any:
        """Ask for messages of a topic."""
        return self._protocol.ReceiveMessageRequest(
            group=self._named(self._group),
            message_queue={"topic": self._named(topic)},
            filter_expression=self._all,
            batch_size=min(count, MOST_AT_ONCE),
            invisible_duration=_duration(self.dead_after_seconds),
            long_polling_timeout=_duration(WAIT_SECONDS),
        )

    def acknowledgement(self, topic: str, message_id: str, receipt: str) -> Any:
        """Let a message be forgotten."""
        return self._protocol.AckMessageRequest(
            group=self._named(self._group),
            topic=self._named(topic),
            entries=[{"message_id": message_id, "receipt_handle": receipt}],
        )

    def keeping(self, topic: str, message_id: str, receipt: str, seconds: float) -> Any:
        """Ask that a message stays with us for so long from now on."""
        return self._protocol.ChangeInvisibleDurationRequest(
            group=self._named(self._group),
            topic=self._named(topic),
            message_id=message_id,
            receipt_handle=receipt,
            invisible_duration=_duration(seconds),
        )

    def _named(self, name: str) -> dict[str, str]:
        return {"resource_namespace": self._namespace, "name": name}


def _duration(seconds: float) -> dict[str, int]:
    return {"seconds": int(seconds), "nanos": int(seconds % 1 * 1e9)}

"""Publish by the protocol of the official client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncflow.integrations.rocketmq import extras
from asyncflow.integrations.rocketmq.messages import RocketMQMessages
from asyncflow.integrations.rocketmq.proxies import Proxies
from asyncflow.integrations.rocketmq.session import RocketMQSession
from asyncflow.integrations.rocketmq.settings import RocketMQSettings
from asyncflow.integrations.rocketmq.topics import fault_of_topic
from asyncflow.outbox.options import settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.link import Link


class RocketMQPublisher:
    """Publish records to topics of RocketMQ 5; live as long as the scheduler that was given it.

    Each message is one request, acknowledged by its broker as that is told to flush and to replicate; nothing is sent
    a second time unless its task is. The connection is made by the first ``publish``, and anew after each failure, so
    neither an unreachable proxy nor a fork does harm.
    """

    def __init__(
        self, proxies: Any, settings: RocketMQSettings | None = None, *, client_options: Mapping[str, Any] | None = None
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``proxies`` is the gRPC address ``host:port`` of a proxy, or several in a list: the first that answers serves.
        ``client_options``: ``access_key`` and ``secret_key``; ``tls``, True or ``grpc.ssl_channel_credentials(...)``;
        ``channel_options``, further ones of gRPC's channels.
        """
        self._settings = settings_given(settings, RocketMQSettings)
        self._client = extras.client()
        self._proxies = Proxies(self._client, proxies, self._settings, client_options)
        self._messages = RocketMQMessages(self._client.protocol, self._settings)
        self._link = Link(self._connect, self._settings.delivery_timeout_seconds)

    system = "rocketmq"

    @property
    def keeps_key_order(self) -> bool:
        """Return ``fifo``: a NORMAL topic keeps no order."""
        return self._settings.fifo

    def topic_fault(self, topic: str) -> str | None:
        """Return why RocketMQ has no topic of this name, or None."""
        return fault_of_topic(topic)

    @property
    def max_record_bytes(self) -> int:
        """Return ``max_message_bytes``."""
        return self._settings.max_message_bytes

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order, within about ``delivery_timeout_seconds``.

        A record whose acknowledgement was lost is Unavailable and may be in its topic all the same, under the same
        message id when it comes again: RocketMQ drops no duplicates, and an inbox does.
        """
        return self._link.publish(batch)

    def close(self) -> None:
        """End the connection; further publishing is Unavailable. May be called twice, and by another thread."""
        self._link.close()

    def _connect(self, deadline: float) -> RocketMQSession:
        return RocketMQSession(self._client, self._proxies, self._messages, self._settings, deadline)

"""Publish through pika, which is plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncflow.integrations.rabbitmq import extras
from asyncflow.integrations.rabbitmq.messages import MessageMaker
from asyncflow.integrations.rabbitmq.servers import parameters_of
from asyncflow.integrations.rabbitmq.session import RabbitMQSession
from asyncflow.integrations.rabbitmq.settings import RabbitMQSettings, fault_of_name
from asyncflow.outbox.options import settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.link import Link


class RabbitMQPublisher:
    """Publish records to the exchanges of one RabbitMQ; live as long as the scheduler that was given it.

    Each message is persistent, mandatory and confirmed. The connection is made by the first ``publish``, and anew after
    each failure that leaves it in doubt, so neither an unreachable broker nor a fork does harm: the child of a fork
    makes one of its own. It has no thread.
    """

    def __init__(self, servers: Any, settings: RabbitMQSettings | None = None) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``servers`` is a URL (``amqp://``, with TLS ``amqps://``), or ``pika.ConnectionParameters``, for what a URL
        cannot say; or several of them in a list: the first that answers serves.
        """
        settings = settings_given(settings, RabbitMQSettings)
        self._library = extras.pika()
        self._parameters = parameters_of(self._library, servers, settings)
        self._messages = MessageMaker(self._library, settings)
        self._max_bytes = settings.max_message_bytes
        self._link = Link(self._connect, settings.delivery_timeout_seconds)

    system = "rabbitmq"
    event_prefix = "cloudEvents_"  # as the binding of CloudEvents to AMQP has it
    keeps_key_order = True  # one channel, and one routing key a key

    def topic_fault(self, topic: str) -> str | None:
        """Return why RabbitMQ takes no exchange, or routing key, of this name, or None."""
        return fault_of_name(topic)

    @property
    def max_record_bytes(self) -> int:
        """Return the broker's ``max_message_size``, as far as it was told."""
        return self._max_bytes

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order, within about ``delivery_timeout_seconds``.

        A record whose confirm was lost is Unavailable and may be in its queues all the same.
        """
        return self._link.publish(batch)

    def close(self) -> None:
        """End the connection; further publishing is Unavailable. May be called twice, and by another thread."""
        self._link.close()

    def _connect(self, deadline: float) -> RabbitMQSession:
        return RabbitMQSession(self._library, self._parameters, self._messages, deadline)

"""The consumer of RabbitMQ."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from asyncflow.consuming.delivered import QueueClient
from asyncflow.consuming.queue_consumer import QueueConsumer
from asyncflow.events import Hook
from asyncflow.integrations.rabbitmq import extras
from asyncflow.integrations.rabbitmq.consuming.client import RabbitMQClient, Wanted
from asyncflow.integrations.rabbitmq.consuming.deliveries import AmqpDeliveries
from asyncflow.integrations.rabbitmq.servers import parameters_of
from asyncflow.integrations.rabbitmq.settings import RabbitMQSettings
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.options import settings_given

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


class RabbitMQConsumer(QueueConsumer):
    """Take messages of queues, and let each take effect once for each subscriber; lives until ``stop``.

    In the child of a fork it is a consumer of its own; one that the parent has begun with is the parent's alone.

    A subscriber's ``topic`` names a queue, which has to be there. Its effect, the inbox's memory of the message
    and what the handler enqueues commit together; the message is acknowledged behind them. What fails is tried again,
    and the others go on but for those of its key; after ``max_retries`` it is a dead letter of ``outbox``. Subscribers
    are task types of ``outbox`` as well, so a scheduler does what an operator replays.

    With an AsyncEngine subscribers are coroutines, awaited on the loop that awaits ``run_async``. ``servers`` and
    ``settings`` are as for RabbitMQPublisher. ``prefetch`` bounds how many messages are this consumer's at a time.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        outbox: Outbox,
        inbox: Inbox,
        servers: Any,
        *,
        settings: RabbitMQSettings | None = None,
        prefetch: int = 100,
        hooks: Iterable[Hook] = (),
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError."""
        self._settings = settings_given(settings, RabbitMQSettings)
        self._library = extras.pika("RabbitMQConsumer")
        self._parameters = parameters_of(self._library, servers, self._settings)
        super().__init__(engine, outbox, inbox, hooks, prefetch)

    def _connect(self, topics: Collection[str]) -> QueueClient:
        share = max(1, self._prefetch // len(topics))
        wanted = Wanted(topics, share, len(self._parameters) * self._settings.delivery_timeout_seconds)
        return RabbitMQClient(self._library, self._parameters, wanted, AmqpDeliveries(self._settings))

"""The consumer of NATS JetStream."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from asyncflow.consuming.delivered import QueueClient
from asyncflow.consuming.options import require_dead_after
from asyncflow.consuming.queue_consumer import QueueConsumer
from asyncflow.errors import OptionError
from asyncflow.events import Hook
from asyncflow.integrations.nats import extras
from asyncflow.integrations.nats.consuming.client import NatsClient
from asyncflow.integrations.nats.consuming.durables import Durables
from asyncflow.integrations.nats.servers import Servers
from asyncflow.integrations.nats.settings import NatsSettings
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.options import settings_given
from asyncflow.text import require_text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

MAX_GROUP_LENGTH = 100


class NatsConsumer(QueueConsumer):
    """Pull messages of JetStream, and let each take effect once for each subscriber; lives until ``stop``.

    In the child of a fork it is a consumer of its own; one that the parent has begun with is the parent's alone.

    A subscriber's ``topic`` is a subject, and ``group`` begins the name of the durable consumer that is made for each.
    A subscriber's effect, the inbox's memory of the message and what the handler enqueues commit together; the message
    is acknowledged behind them. What fails is tried again, and the others go on but for those of its key; after
    ``max_retries`` it is a dead letter of ``outbox``. Subscribers are task types of ``outbox`` as well, so a scheduler
    does what an operator replays.

    With an AsyncEngine subscribers are coroutines, awaited on the loop that awaits ``run_async``. ``servers``,
    ``settings`` and ``client_options`` are as for NatsPublisher. What a consumer held that gave no sign of life for
    ``dead_after_seconds`` others take. ``prefetch`` bounds how many messages are this consumer's at a time.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        outbox: Outbox,
        inbox: Inbox,
        servers: Any,
        *,
        group: str,
        settings: NatsSettings | None = None,
        client_options: Mapping[str, Any] | None = None,
        dead_after_seconds: float = 30.0,
        prefetch: int = 100,
        hooks: Iterable[Hook] = (),
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError."""
        self._settings = settings_given(settings, NatsSettings)
        require_text("group", group, MAX_GROUP_LENGTH, OptionError)
        extras.nats_py("NatsConsumer")
        self._durables = Durables(group, require_dead_after(dead_after_seconds))
        self._servers = Servers(servers, self._settings, client_options)
        super().__init__(engine, outbox, inbox, hooks, prefetch)

    def _connect(self, topics: Collection[str]) -> QueueClient:
        def make(url: str, deadline: float) -> NatsClient:
            return NatsClient(self._servers.address(url), self._durables, topics, deadline)

        return self._servers.first(make, monotonic() + self._settings.delivery_timeout_seconds)

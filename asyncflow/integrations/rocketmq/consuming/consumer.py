"""The consumer of RocketMQ."""

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
from asyncflow.integrations.rocketmq import extras
from asyncflow.integrations.rocketmq.consuming.client import RocketMQClient
from asyncflow.integrations.rocketmq.consuming.questions import Questions
from asyncflow.integrations.rocketmq.proxies import Proxies
from asyncflow.integrations.rocketmq.settings import RocketMQSettings
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.options import settings_given
from asyncflow.text import require_text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

MAX_GROUP_LENGTH = 255
LEAST_DEAD_AFTER_SECONDS = 10.0  # the proxy takes no less


class RocketMQConsumer(QueueConsumer):
    """Take messages of topics for a consumer group, and let each take effect once for each subscriber; until ``stop``.

    In the child of a fork it is a consumer of its own; one that the parent has begun with is the parent's alone.

    A subscriber's effect, the inbox's memory of the message and what the handler enqueues commit together; the
    message is acknowledged behind them. What fails is tried again, and the others go on but for those of its key;
    after ``max_retries`` it is a dead letter of ``outbox``. Subscribers are task types of ``outbox`` as well, so a
    scheduler does what an operator replays.

    With an AsyncEngine subscribers are coroutines, awaited on the loop that awaits ``run_async``. ``proxies``,
    ``settings`` and ``client_options`` are as for RocketMQPublisher. What a consumer held that gave no sign of life for
    ``dead_after_seconds``, 10 at the least, comes again. ``prefetch`` bounds how many messages are this consumer's at a
    time.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        outbox: Outbox,
        inbox: Inbox,
        proxies: Any,
        *,
        group: str,
        settings: RocketMQSettings | None = None,
        client_options: Mapping[str, Any] | None = None,
        dead_after_seconds: float = 30.0,
        prefetch: int = 100,
        hooks: Iterable[Hook] = (),
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError."""
        self._settings = settings_given(settings, RocketMQSettings)
        require_text("group", group, MAX_GROUP_LENGTH, OptionError)
        dead_after = require_dead_after(dead_after_seconds)
        if dead_after < LEAST_DEAD_AFTER_SECONDS:
            raise OptionError(f"dead_after_seconds is {dead_after:g}; give {LEAST_DEAD_AFTER_SECONDS:g} at the least")
        client = extras.client("RocketMQConsumer")
        self._proxies = Proxies(client, proxies, self._settings, client_options)
        self._questions = Questions(client, self._settings.namespace, group, dead_after)
        super().__init__(engine, outbox, inbox, hooks, prefetch)

    def _connect(self, topics: Collection[str]) -> QueueClient:
        deadline = monotonic() + self._settings.delivery_timeout_seconds
        return RocketMQClient(self._proxies, self._questions, topics, deadline)

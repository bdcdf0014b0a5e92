"""The consumer of Redis."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from asyncflow.consuming.delivered import QueueClient
from asyncflow.consuming.options import require_dead_after
from asyncflow.consuming.queue_consumer import QueueConsumer
from asyncflow.errors import OptionError
from asyncflow.events import Hook
from asyncflow.integrations.redis import extras
from asyncflow.integrations.redis.consuming.client import RedisClient
from asyncflow.integrations.redis.consuming.group import Group
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.integrations.redis.settings import RedisSettings
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.options import settings_given
from asyncflow.text import require_text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

MAX_GROUP_LENGTH = 255


class RedisConsumer(QueueConsumer):
    """Take entries of streams for a consumer group, and let each take effect once for each subscriber; until ``stop``.

    In the child of a fork it is a consumer of its own; one that the parent has begun with is the parent's alone.

    A subscriber's effect, the inbox's memory of the message and what the handler enqueues commit together; the entry
    is acknowledged behind them. What fails is tried again, and the others go on but for those of its key; after
    ``max_retries`` it is a dead letter of ``outbox``. Subscribers are task types of ``outbox`` as well, so a scheduler
    does what an operator replays.

    With an AsyncEngine subscribers are coroutines, awaited on the loop that awaits ``run_async``. ``url``, ``settings``
    and ``client_options`` are as for RedisPublisher. What a consumer held that gave no sign of life for
    ``dead_after_seconds`` others take. ``prefetch`` bounds how many messages are this consumer's at a time.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        outbox: Outbox,
        inbox: Inbox,
        url: str,
        *,
        group: str,
        settings: RedisSettings | None = None,
        client_options: Mapping[str, object] | None = None,
        dead_after_seconds: float = 30.0,
        prefetch: int = 100,
        hooks: Iterable[Hook] = (),
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError."""
        self._group = require_text("group", group, MAX_GROUP_LENGTH, OptionError)
        self._settings = settings_given(settings, RedisSettings)
        self._dead_after = require_dead_after(dead_after_seconds)
        self._library = extras.redis_py("RedisConsumer")
        self._server = RedisServer(self._library, url, self._settings.delivery_timeout_seconds, client_options)
        super().__init__(engine, outbox, inbox, hooks, prefetch)

    def _make_own(self) -> None:
        self._name = str(uuid.uuid4())  # in the group, as long as this process: it finds there what it held
        super()._make_own()

    def _connect(self, topics: Collection[str]) -> QueueClient:
        streams = {stream: topic for topic in topics for stream in self._settings.streams_of(topic)}
        client = self._server.client(connections=2)
        group = Group(self._group, self._name, self._dead_after, self._settings.creates_streams)
        return RedisClient(self._library, client, group, streams)

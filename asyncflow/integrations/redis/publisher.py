"""Publish through redis-py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncflow.errors import UnreachableError
from asyncflow.integrations.redis import extras
from asyncflow.integrations.redis.outcomes import describe
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.integrations.redis.session import RedisSession
from asyncflow.integrations.redis.settings import RedisSettings
from asyncflow.outbox.options import settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.link import Link


class RedisPublisher:
    """Publish records to streams of one Redis; live as long as the scheduler that was given it.

    The connection is made by the first ``publish``, and anew after each failure, so neither an unreachable server nor a
    fork does harm. Nothing is trimmed: what a stream keeps is its reader's decision.
    """

    def __init__(
        self, url: str, settings: RedisSettings | None = None, *, client_options: Mapping[str, object] | None = None
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``url`` is ``redis://USER:PASSWORD@HOST:PORT/DATABASE``, with TLS ``rediss://``. ``client_options`` are those of
        ``redis.Redis``, such as ``ssl_ca_certs``.
        """
        self._settings = settings_given(settings, RedisSettings)
        self._library = extras.redis_py()
        self._server = RedisServer(self._library, url, self._settings.delivery_timeout_seconds, client_options)
        self._link = Link(self._connect, self._settings.delivery_timeout_seconds)

    system = "redis"
    keeps_key_order = True  # one stream a key, and one connection

    @property
    def max_record_bytes(self) -> int:
        """Return ``max_message_bytes``."""
        return self._settings.max_message_bytes

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order.

        A record whose acknowledgement was lost is Unavailable and may be in its stream all the same.
        """
        return self._link.publish(batch)

    def close(self) -> None:
        """End the connection; further publishing is Unavailable. May be called twice, and by another thread."""
        self._link.close()

    def _connect(self, deadline: float) -> RedisSession:
        client = self._server.client(connections=1)
        try:
            client.connection_pool.release(client.connection_pool.get_connection())
        except (self._library.RedisError, OSError) as error:
            client.connection_pool.disconnect()
            raise UnreachableError(describe(error)) from error
        return RedisSession(self._library, client, self._settings)

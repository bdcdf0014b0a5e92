"""Publish through redis-py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from asyncflow.errors import OptionError, UnreachableError
from asyncflow.integrations.redis import extras
from asyncflow.integrations.redis.outcomes import describe
from asyncflow.integrations.redis.session import RedisSession
from asyncflow.integrations.redis.settings import RedisSettings
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.link import Link

SCHEMES = ("redis", "rediss", "unix")
# What the publisher decides itself, and how to say it.
OWN = {
    "retry": "the outbox tries again; a client's own would send twice what was sent",
    "retry_on_error": "the outbox tries again; a client's own would send twice what was sent",
    "retry_on_timeout": "the outbox tries again; a client's own would send twice what was sent",
    "decode_responses": "the publisher reads the answers itself",
    "socket_timeout": "use RedisSettings(delivery_timeout_seconds=...)",
    "socket_connect_timeout": "use RedisSettings(delivery_timeout_seconds=...)",
    "max_connections": "the publisher has one connection",
}


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
        self._settings = settings or RedisSettings()
        self._library = extras.redis_py()
        self._url = _checked(url)
        self._options = dict(client_options or {})
        for name, remedy in OWN.items():
            if name in self._options:
                raise OptionError(f"client option {name}={self._options[name]!r} is refused: {remedy}")
        self._client()
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

    def _client(self) -> Any:
        seconds = self._settings.delivery_timeout_seconds
        limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "max_connections": 1}
        never = self._library.retry.Retry(self._library.backoff.NoBackoff(), 0)
        try:
            client = self._library.Redis.from_url(self._url, **limits, retry=never, **self._options)
            pool = client.connection_pool
            pool.connection_class(**pool.connection_kwargs)  # which looks at the options, and connects to nothing
        except (TypeError, ValueError) as error:
            raise OptionError(f"url or client_options are refused by redis-py: {error}") from None
        return client

    def _connect(self, deadline: float) -> RedisSession:
        client = self._client()
        try:
            client.connection_pool.release(client.connection_pool.get_connection())
        except (self._library.RedisError, OSError) as error:
            client.connection_pool.disconnect()
            raise UnreachableError(describe(error)) from error
        return RedisSession(self._library, client, self._settings)


def _checked(url: object) -> str:
    wanted = "give redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS"
    if not isinstance(url, str):
        raise OptionError(f"url is a {type(url).__name__}; {wanted}")
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise OptionError(f"url begins with {scheme!r}; {wanted}")
    return url

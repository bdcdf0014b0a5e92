"""Publish through nats-py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncflow.integrations.nats.messages import NatsMessages
from asyncflow.integrations.nats.servers import Servers
from asyncflow.integrations.nats.session import NatsSession
from asyncflow.integrations.nats.settings import NatsSettings
from asyncflow.integrations.nats.subjects import fault_of_subject
from asyncflow.outbox.options import settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.link import Link


class NatsPublisher:
    """Publish records to streams of JetStream; live as long as the scheduler that was given it.

    Each message is acknowledged by its stream, which drops what it has had within its ``duplicate_window``. The
    connection is made by the first ``publish``, and anew after each failure that leaves it in doubt, so neither an
    unreachable server nor a fork does harm. It has no thread.
    """

    def __init__(
        self, servers: Any, settings: NatsSettings | None = None, *, client_options: Mapping[str, Any] | None = None
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``servers`` is a URL (``nats://``, with TLS ``tls://``) or several in a list: the first that answers serves.
        ``client_options`` are those of ``nats.connect``, such as ``user`` and ``password``, ``token``,
        ``user_credentials`` (a file), ``nkeys_seed`` and ``tls`` (an ``ssl.SSLContext``).
        """
        settings = settings_given(settings, NatsSettings)
        self._servers = Servers(servers, settings, client_options)
        self._messages = NatsMessages(settings)
        self._max_bytes = settings.max_message_bytes
        self._link = Link(self._connect, settings.delivery_timeout_seconds)

    system = "nats"
    event_prefix = "ce-"  # as the binding of CloudEvents to NATS has it
    keeps_key_order = True  # one connection, and one subject a topic

    def topic_fault(self, topic: str) -> str | None:
        """Return why no message is published to a subject of this name, or None."""
        return fault_of_subject(topic)

    @property
    def max_record_bytes(self) -> int:
        """Return ``max_message_bytes``."""
        return self._max_bytes

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order, within about ``delivery_timeout_seconds``.

        A record whose acknowledgement was lost is Unavailable and may be in its stream all the same, which knows it
        when it comes again.
        """
        return self._link.publish(batch)

    def close(self) -> None:
        """End the connection; further publishing is Unavailable. May be called twice, and by another thread."""
        self._link.close()

    def _connect(self, deadline: float) -> NatsSession:
        return NatsSession(self._servers.connect, self._messages, deadline)

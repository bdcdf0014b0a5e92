"""What a publisher to NATS is told beside its servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.nats.subjects import fault_of_name
from asyncflow.outbox.options import require_seconds, require_whole

MIN_TIMEOUT_SECONDS = 1.0
MAX_TIMEOUT_SECONDS = 300.0
MAX_BYTES = 64 * 1024 * 1024  # the most that a server can be told


@dataclass(frozen=True, kw_only=True)
class NatsSettings:
    """Configure a publisher.

    ``delivery_timeout_seconds`` bounds one ``publish``, connecting included: what no stream has acknowledged by then is
    Unavailable. ``max_message_bytes`` bounds a message with its headers; where the server's ``max_payload`` is less,
    that does. ``connection_name`` names this client in the server's lists.

    ``stream`` is a ``nats.js.api.StreamConfig`` of the stream to make where there is none of its name; one that is
    there stays as it is, whatever its configuration. None makes nothing. ``api_prefix`` is that of JetStream's own
    subjects: ``$JS.NAME.API`` for a domain.
    """

    delivery_timeout_seconds: float = 10.0
    max_message_bytes: int = 1024 * 1024
    connection_name: str = "asyncflow"
    stream: Any = None
    api_prefix: str = "$JS.API"

    def __post_init__(self) -> None:
        """Refuse what no client could use."""
        require_seconds(
            "delivery_timeout_seconds", self.delivery_timeout_seconds, MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS
        )
        require_whole("max_message_bytes", self.max_message_bytes, 1, MAX_BYTES)
        if not isinstance(self.connection_name, str) or not self.connection_name:
            raise OptionError(f"connection_name={self.connection_name!r} is refused: give a short text")
        if not isinstance(self.api_prefix, str) or fault_of_name(self.api_prefix):
            raise OptionError(f"api_prefix={self.api_prefix!r} is refused: give a subject, such as $JS.NAME.API")

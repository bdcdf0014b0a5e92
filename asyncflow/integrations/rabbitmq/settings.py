"""What a publisher to RabbitMQ is told beside its servers."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.errors import OptionError
from asyncflow.outbox.options import require_seconds, require_whole

MIN_TIMEOUT_SECONDS = 1.0
MAX_TIMEOUT_SECONDS = 300.0
MIN_HEARTBEAT_SECONDS = 2
MAX_HEARTBEAT_SECONDS = 3600
MAX_SHORT_BYTES = 255  # of AMQP's short strings: names of exchanges, routing keys, names of headers


@dataclass(frozen=True, kw_only=True)
class RabbitMQSettings:
    """Configure a publisher.

    ``exchange`` is None where a message's topic names its exchange and its key is the routing key, so that a key has
    one way. Or it is the exchange of all messages, "" for the default one: then the topic is the routing key (the
    queue's name, for the default exchange), and the key travels in the header ``message-key``.

    ``connection_name`` names this client in the broker's lists. ``delivery_timeout_seconds`` bounds one ``publish``,
    connecting included: what the broker has not confirmed by then is Unavailable. ``heartbeat_seconds`` is how long
    the broker waits for a sign of life; a connection that was idle for half of it is made anew.
    ``max_message_bytes`` is the broker's ``max_message_size``, by default that of RabbitMQ 4; 3.x has 128 MiB.
    """

    exchange: str | None = None
    connection_name: str = "asyncflow"
    delivery_timeout_seconds: float = 10.0
    heartbeat_seconds: int = 60
    max_message_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse what no client could use."""
        if self.exchange is not None and (not isinstance(self.exchange, str) or fault_of_name(self.exchange)):
            raise OptionError(f"exchange={self.exchange!r} is refused: give its name, up to {MAX_SHORT_BYTES} bytes")
        if not isinstance(self.connection_name, str) or not self.connection_name:
            raise OptionError(f"connection_name={self.connection_name!r} is refused: give a short text")
        require_seconds(
            "delivery_timeout_seconds", self.delivery_timeout_seconds, MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS
        )
        require_whole("heartbeat_seconds", self.heartbeat_seconds, MIN_HEARTBEAT_SECONDS, MAX_HEARTBEAT_SECONDS)
        require_whole("max_message_bytes", self.max_message_bytes, 1, 512 * 1024 * 1024)


def fault_of_name(name: str) -> str | None:
    """Return why AMQP takes no name like this, or None."""
    size = len(name.encode())
    return f"it has {size} bytes; AMQP takes {MAX_SHORT_BYTES}" if size > MAX_SHORT_BYTES else None

"""What a publisher to RocketMQ is told beside its proxies."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.errors import OptionError
from asyncflow.outbox.options import require_flag, require_seconds, require_whole

MIN_TIMEOUT_SECONDS = 1.0
MAX_TIMEOUT_SECONDS = 300.0
MAX_BYTES = 128 * 1024 * 1024  # the most that a proxy takes
MAX_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class RocketMQSettings:
    """Configure a publisher.

    ``delivery_timeout_seconds`` bounds one ``publish``, connecting included: what no broker has acknowledged by then is
    Unavailable. ``max_message_bytes`` bounds a message with its properties; 4 MiB is what a broker takes by default.

    ``fifo`` says what the topics are. True: FIFO topics, where the key of a message is its message group, and the
    messages of a group keep their order. False: NORMAL topics, which keep none. ``namespace`` is that of the topics.
    ``unacknowledged`` bounds how many messages are on their way at a time; of a key it is one.
    """

    delivery_timeout_seconds: float = 10.0
    max_message_bytes: int = 4 * 1024 * 1024
    fifo: bool = True
    namespace: str = ""
    unacknowledged: int = 100

    def __post_init__(self) -> None:
        """Refuse what no client could use."""
        require_seconds(
            "delivery_timeout_seconds", self.delivery_timeout_seconds, MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS
        )
        require_whole("max_message_bytes", self.max_message_bytes, 1, MAX_BYTES)
        require_whole("unacknowledged", self.unacknowledged, 1, MAX_AT_ONCE)
        require_flag("fifo", self.fifo)
        if not isinstance(self.namespace, str):
            raise OptionError(f"namespace={self.namespace!r} is refused: give a text, empty for none")

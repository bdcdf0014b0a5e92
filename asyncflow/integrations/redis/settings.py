"""What a publisher to Redis is told beside its server."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.outbox.options import require_flag, require_seconds, require_whole

MIN_TIMEOUT_SECONDS = 1.0
MAX_TIMEOUT_SECONDS = 300.0
MAX_STREAMS = 1024
MAX_BYTES = 512 * 1024 * 1024  # of a string in Redis


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Configure a publisher.

    ``delivery_timeout_seconds`` bounds each wait of one ``publish``; what the server has not acknowledged by then is
    Unavailable. ``streams_per_topic`` spreads a topic over so many streams, ``topic:0`` and so on, by a hash of the
    key; with 1 the topic is the stream. ``creates_streams`` lets the first message make its stream; without it a
    message for a stream that is not there costs an attempt.

    ``wait_replicas`` is how many replicas have to have a batch before it counts as sent, ``wait_disk`` whether the
    server has to have it on its own disk (WAITAOF: Redis 7.2, Valkey). ``max_message_bytes`` bounds key, value and
    headers of one message.
    """

    delivery_timeout_seconds: float = 10.0
    streams_per_topic: int = 1
    creates_streams: bool = True
    wait_replicas: int = 0
    wait_disk: bool = False
    max_message_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse what no client could use."""
        seconds = self.delivery_timeout_seconds
        require_seconds("delivery_timeout_seconds", seconds, MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS)
        require_whole("streams_per_topic", self.streams_per_topic, 1, MAX_STREAMS)
        require_whole("wait_replicas", self.wait_replicas, 0, 100)
        require_whole("max_message_bytes", self.max_message_bytes, 1, MAX_BYTES)
        for name in ("creates_streams", "wait_disk"):
            require_flag(name, getattr(self, name))

    def streams_of(self, topic: str) -> list[str]:
        """Return the streams that a topic is spread over."""
        if self.streams_per_topic == 1:
            return [topic]
        return [f"{topic}:{number}" for number in range(self.streams_per_topic)]

"""From a record to the entry of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from asyncflow.integrations.redis.settings import RedisSettings
from asyncflow.scheduler.publishing.publisher import Record

KEY, VALUE, HEADER = b"key", b"value", "header:"


class Entries:
    """Make the command of each record; lives as long as its publisher."""

    def __init__(self, settings: RedisSettings) -> None:
        self._streams = settings.streams_per_topic
        self._may_create = settings.creates_streams

    def command(self, record: Record) -> list[bytes | str]:
        """Return ``XADD``: fields ``key`` (if there is one), ``value``, and ``header:NAME`` for each header."""
        create: Sequence[str] = () if self._may_create else ("NOMKSTREAM",)
        fields: list[bytes | str] = [] if record.key is None else [KEY, record.key]
        for name, value in record.headers:
            fields += (HEADER + name, value)
        return ["XADD", self.stream_of(record), *create, "*", *fields, VALUE, record.value]

    def stream_of(self, record: Record) -> str:
        """Return the stream of a record; the same for all of a key."""
        if self._streams == 1:
            return record.topic
        return f"{record.topic}:{crc32(record.key or b'') % self._streams}"


def size_of(record: Record) -> int:
    """Return the bytes of key, value and headers."""
    headers = sum(len(name.encode()) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value) + headers

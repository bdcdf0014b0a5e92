"""Publish to streams of Redis, or of Valkey, and consume from them, through redis-py.

The client library is imported when a publisher or a consumer is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.redis.publisher import RedisPublisher
from asyncflow.integrations.redis.settings import RedisSettings

__all__ = ["RedisPublisher", "RedisSettings"]

"""Publish to streams of Redis, consume, hand tasks to workers, hear of other instances and lock there, by redis-py.

The client library is imported when one of these is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.redis.lock import Lock
from asyncflow.integrations.redis.publisher import RedisPublisher
from asyncflow.integrations.redis.registry import RedisRegistry
from asyncflow.integrations.redis.settings import RedisSettings
from asyncflow.integrations.redis.task_queue import RedisQueue

__all__ = ["Lock", "RedisPublisher", "RedisQueue", "RedisRegistry", "RedisSettings"]

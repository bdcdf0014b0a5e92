"""Consume from streams of Redis, or of Valkey, over the inbox: each message takes effect once for each subscriber."""

from __future__ import annotations

from asyncflow.integrations.redis.consuming.consumer import RedisConsumer

__all__ = ["RedisConsumer"]

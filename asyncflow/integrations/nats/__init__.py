"""Publish to streams of NATS JetStream, and consume from them, through nats-py.

The client library is imported when a publisher or a consumer is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.nats.publisher import NatsPublisher
from asyncflow.integrations.nats.settings import NatsSettings

__all__ = ["NatsPublisher", "NatsSettings"]

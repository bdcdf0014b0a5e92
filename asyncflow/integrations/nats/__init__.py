"""Publish to streams of NATS JetStream, through nats-py.

The client library is imported when a publisher is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.nats.publisher import NatsPublisher
from asyncflow.integrations.nats.settings import NatsSettings

__all__ = ["NatsPublisher", "NatsSettings"]

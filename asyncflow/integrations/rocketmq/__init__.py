"""Publish to topics of RocketMQ 5, through its proxy, by the protocol of its official Python client.

The client library is imported when a publisher is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.rocketmq.publisher import RocketMQPublisher
from asyncflow.integrations.rocketmq.settings import RocketMQSettings

__all__ = ["RocketMQPublisher", "RocketMQSettings"]

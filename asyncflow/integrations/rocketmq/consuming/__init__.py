"""Consume from topics of RocketMQ 5 over the inbox: each message takes effect once for each subscriber."""

from __future__ import annotations

from asyncflow.integrations.rocketmq.consuming.consumer import RocketMQConsumer

__all__ = ["RocketMQConsumer"]

"""Consume from queues of RabbitMQ over the inbox: each message takes effect once for each subscriber."""

from __future__ import annotations

from asyncflow.integrations.rabbitmq.consuming.consumer import RabbitMQConsumer

__all__ = ["RabbitMQConsumer"]

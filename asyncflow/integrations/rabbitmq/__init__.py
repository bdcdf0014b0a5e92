"""Publish to RabbitMQ, consume from it, and hand tasks to workers by it, over AMQP 0-9-1, through pika.

The client library is imported when a publisher or a consumer is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.rabbitmq.publisher import RabbitMQPublisher
from asyncflow.integrations.rabbitmq.settings import RabbitMQSettings
from asyncflow.integrations.rabbitmq.task_queue import RabbitMQQueue

__all__ = ["RabbitMQPublisher", "RabbitMQQueue", "RabbitMQSettings"]

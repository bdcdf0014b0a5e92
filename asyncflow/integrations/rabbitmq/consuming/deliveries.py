"""From a message of AMQP 0-9-1 to a delivery."""

from __future__ import annotations

import uuid
from typing import Any

from asyncflow.consuming.delivered import Delivered
from asyncflow.integrations.rabbitmq.messages import MESSAGE_KEY, PROPERTIES
from asyncflow.integrations.rabbitmq.settings import RabbitMQSettings


class AmqpDeliveries:
    """Read messages as RabbitMQPublisher writes them with the same settings, and those of others as far as they go."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        self._key_is_routed = settings.exchange is None

    def made(self, queue: str, method: Any, properties: Any, body: bytes) -> Delivered:
        """Return the delivery; RabbitMQ gives a message no place of its own, so each delivery gets a new one."""
        headers = {_text(name): _bytes(value) for name, value in (properties.headers or {}).items()}
        for name, attribute in PROPERTIES.items():
            value = getattr(properties, attribute)
            if value is not None:
                headers[name] = _bytes(value)
        key = headers.pop(MESSAGE_KEY, None)
        if key is None and self._key_is_routed and method.exchange and method.routing_key:
            key = _bytes(method.routing_key)
        return Delivered(queue, str(uuid.uuid4()), key, body, headers, method.delivery_tag)


def _text(name: str | bytes) -> str:
    """Return the name of a header, which pika gives as bytes where it is no UTF-8."""
    return name.decode(errors="backslashreplace") if isinstance(name, bytes) else name


def _bytes(value: Any) -> bytes:
    """Return the value of a header, of which AMQP has many kinds."""
    return value if isinstance(value, bytes) else str(value).encode()

"""Import the optional client, or say how to get it."""

from __future__ import annotations

from types import ModuleType

from asyncflow.extra_libraries import library


def pika(wanted_by: str = "RabbitMQPublisher") -> ModuleType:
    """Return the module ``pika``; raise MissingExtraError when it is not installed."""
    return library("pika", wanted_by, "rabbitmq")

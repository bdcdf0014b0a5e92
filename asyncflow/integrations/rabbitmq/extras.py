"""Import the optional client, or say how to get it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError


def pika(wanted_by: str = "RabbitMQPublisher") -> ModuleType:
    """Return the module ``pika``; raise MissingExtraError when it is not installed."""
    try:
        return import_module("pika")
    except ImportError as error:
        line = 'pip install "asyncflow-outbox[rabbitmq]"'
        raise MissingExtraError(f"{wanted_by} needs the library pika, which is not installed: {line}") from error

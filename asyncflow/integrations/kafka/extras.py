"""Import the optional clients, or say how to get them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from asyncflow.errors import MissingExtraError


def kafka_python(user: str = "KafkaPublisher") -> ModuleType:
    """Return the module ``kafka``, which ``user`` needs; raise MissingExtraError when it is not installed."""
    return _import("kafka", user, "kafka")


def confluent_kafka(user: str = "ConfluentKafkaPublisher") -> ModuleType:
    """Return the module ``confluent_kafka``, which ``user`` needs; raise MissingExtraError when it is not installed."""
    return _import("confluent_kafka", user, "kafka-fast")


def _import(module: str, user: str, extra: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        line = f'pip install "asyncflow-outbox[{extra}]"'
        raise MissingExtraError(f"{user} needs the library {module}, which is not installed: {line}") from error

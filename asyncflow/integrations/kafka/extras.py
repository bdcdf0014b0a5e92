"""Import the optional clients, or say how to get them."""

from __future__ import annotations

from types import ModuleType

from asyncflow.extra_libraries import library


def kafka_python(user: str = "KafkaPublisher") -> ModuleType:
    """Return the module ``kafka``, which ``user`` needs; raise MissingExtraError when it is not installed."""
    return library("kafka", user, "kafka")


def confluent_kafka(user: str = "ConfluentKafkaPublisher") -> ModuleType:
    """Return the module ``confluent_kafka``, which ``user`` needs; raise MissingExtraError when it is not installed."""
    return library("confluent_kafka", user, "kafka-fast")

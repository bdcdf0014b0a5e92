"""Consume from Apache Kafka over the inbox: each message takes effect once for each subscriber."""

from __future__ import annotations

from asyncflow.integrations.kafka.consuming.consumer import Consumer

__all__ = ["Consumer"]

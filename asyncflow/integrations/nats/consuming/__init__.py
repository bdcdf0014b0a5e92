"""Consume from streams of NATS JetStream over the inbox: each message takes effect once for each subscriber."""

from __future__ import annotations

from asyncflow.integrations.nats.consuming.consumer import NatsConsumer

__all__ = ["NatsConsumer"]

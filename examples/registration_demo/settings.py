"""Settings of a service, from its environment; the library itself reads none."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Tell a service where its database and its broker are."""

    database_url: str  # DEMO_DATABASE_URL; default: a SQLite file named after the service
    kafka: str  # DEMO_KAFKA, host:port of the broker; default: localhost:9092
    topic: str  # DEMO_TOPIC, where new users are announced; default: user.registered
    group: str  # DEMO_GROUP, the consumer group; default: the service's name

    @classmethod
    def of(cls, service: str) -> Settings:
        """Read the environment of the process that runs ``service``."""
        return cls(
            database_url=os.environ.get("DEMO_DATABASE_URL", f"sqlite:///{service}.db"),
            kafka=os.environ.get("DEMO_KAFKA", "localhost:9092"),
            topic=os.environ.get("DEMO_TOPIC", "user.registered"),
            group=os.environ.get("DEMO_GROUP", service),
        )

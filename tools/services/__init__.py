"""Real services for tests, benchmarks and the demo: MariaDB, PostgreSQL and Kafka, on the loopback interface.

Others by name: RabbitMQ, Redis, NATS, RocketMQ, ZooKeeper, etcd, MySQL, PgBouncer, Kafka Connect, OpenSearch.

    python -m tools.services up | status | env | down | remove

It needs the standard library alone, as it runs before there is a virtual environment.
"""

from __future__ import annotations

from tools.services.addresses import Services, load
from tools.services.errors import ServiceError
from tools.services.life import down, kill, start, stop, up

__all__ = ["ServiceError", "Services", "down", "kill", "load", "start", "stop", "up"]

"""The ground every benchmark stands on: an outbox in a database of its own, a topic, durable settings."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, MetaData, create_engine, make_url, text

from asyncflow import Message, Outbox
from tools.services import load

TASK_TYPE = "order.placed"


class NotReadyError(Exception):
    """A service is not up, or a database does not flush at each commit; the message tells the remedy."""


class Ground:
    """Hold an empty outbox on MariaDB and the address of Kafka; lasts for one benchmark."""

    def __init__(self, engine: Engine, kafka: str) -> None:
        self.engine = engine
        self.kafka = kafka
        self.outbox = Outbox(MetaData())
        self.topic = f"bench-{secrets.token_hex(4)}"
        self.outbox.message(TASK_TYPE, topic=self.topic)
        self.outbox.tasks.metadata.create_all(engine)

    def fill(self, rows: int, payload_bytes: int) -> None:
        """Leave exactly ``rows`` pending tasks in the table."""
        with self.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE TABLE {self.outbox.tasks.fullname}"))
        payload = {"pad": "x" * (payload_bytes - len('{"pad":""}'))}
        for first in range(0, rows, 5000):
            with self.engine.begin() as connection:
                messages = (
                    Message(payload, key=f"account-{number % 1000}") for number in range(first, min(rows, first + 5000))
                )
                self.outbox.publish_many(connection, TASK_TYPE, messages)

    def settled(self) -> int:
        """Return how many tasks are SUCCESS."""
        with self.engine.connect() as connection:
            statement = text(f"SELECT COUNT(*) FROM {self.outbox.tasks.fullname} WHERE status = 2")
            return int(connection.execute(statement).scalar_one())


@contextmanager
def mariadb_ground() -> Iterator[Ground]:
    """Give a ground on the MariaDB and Kafka of ``make services``; raises NotReadyError."""
    services = load()
    if not services.mariadb_url or not services.kafka_bootstrap:
        raise NotReadyError("MariaDB and Kafka are needed: run `make services`")
    name = f"asyncflow_bench_{os.getpid()}"
    server = create_engine(services.mariadb_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        _require_durable(connection.execute(text("SELECT @@innodb_flush_log_at_trx_commit")).scalar_one())
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        engine = create_engine(make_url(services.mariadb_url).set(database=name))
        yield Ground(engine, services.kafka_bootstrap)
        engine.dispose()
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}"))
        server.dispose()


def _require_durable(flush: int) -> None:
    if flush != 1:
        raise NotReadyError(f"innodb_flush_log_at_trx_commit is {flush}: a figure without durability is none")

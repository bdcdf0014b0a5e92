"""What every benchmark stands on: real services, tables of its own, and rows to relay."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, MetaData, NullPool, create_engine, make_url, text

from asyncflow import Call, Message, Outbox
from asyncflow.events import Hook
from benchmarks import watching
from tools.services import load

TASK_TYPE = "order.placed"
_PORTION = 5000


class NotReadyError(Exception):
    """A service is missing, the database is not durable, or the disk is too small."""


class Ground:
    """Hold an empty outbox in a database of its own and the address of Kafka; lasts for one benchmark."""

    def __init__(self, url: URL, kafka: str, topic: str = "", **outbox_options: Any) -> None:
        self.url = url
        self.engine = create_engine(url)
        # A server's thread that took large inserts reads more slowly afterwards: nobody measures on this one.
        self.filling = create_engine(url, poolclass=NullPool)
        self.kafka = kafka
        self.outbox = Outbox(MetaData(), **outbox_options)
        self.topic = topic or f"bench-{secrets.token_hex(4)}"
        self.outbox.message(TASK_TYPE, topic=self.topic)
        self.outbox.tasks.metadata.create_all(self.engine)
        watching.trace(self.outbox)
        self._filled = (0, 0)  # rows, and bytes of a payload, that are kept for the next time
        self.next_copy = 1  # of a seed of rows, see benchmarks.large

    @property
    def table(self) -> str:
        """Return the name of the task table."""
        return self.outbox.tasks.fullname

    def hooks(self) -> list[Hook]:
        """Return the hooks of a scheduler that is measured here."""
        return watching.hooks_for(self.engine, self.outbox)

    def fill(self, rows: int, payload_bytes: int = 300) -> None:
        """Leave exactly ``rows`` pending tasks in the table: after the first time, the database copies them."""
        self.run(f"TRUNCATE TABLE {self.table}")
        if self._filled == (rows, payload_bytes):
            self.run(f"INSERT INTO {self.table} SELECT * FROM filled")
        else:
            self.add(rows, payload_bytes)
            self.run("DROP TABLE IF EXISTS filled", f"CREATE TABLE filled AS SELECT * FROM {self.table}")
            self._filled = rows, payload_bytes

    def add(self, rows: int, payload_bytes: int = 300, task_type: str = TASK_TYPE) -> None:
        """Add ``rows`` pending tasks."""
        content = payload(payload_bytes)
        for first in range(0, rows, _PORTION):
            numbers = range(first, min(rows, first + _PORTION))
            with self.filling.begin() as connection:
                messages = (Message(content, key=f"account-{number % 1000}") for number in numbers)
                self.outbox.publish_many(connection, task_type, messages)

    def add_at_once(self, rows: int, task_type: str = TASK_TYPE) -> None:
        """Add ``rows`` pending tasks in one transaction, so that all appear at one moment."""
        with self.filling.begin() as connection:
            if task_type in self.outbox.handler_types:
                self.outbox.enqueue_many(connection, task_type, [Call({})] * rows)
            else:
                messages = (Message(payload(300), key=f"account-{number % 1000}") for number in range(rows))
                self.outbox.publish_many(connection, task_type, messages)

    def count(self, where: str = "1 = 1") -> int:
        """Return how many tasks there are."""
        return int(self.ask(f"SELECT COUNT(*) FROM {self.table} WHERE {where}"))

    def is_done(self) -> bool:
        """Tell whether nothing is pending and nothing is claimed."""
        return self.ask(f"SELECT 1 FROM {self.table} WHERE status IN (0, 1) LIMIT 1") is None

    def ask(self, question: str) -> Any:
        """Return the first value of the first row."""
        with self.filling.connect() as connection:
            return connection.execute(text(question)).scalar()

    def run(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.filling.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def refresh_statistics(self, *, vacuum: bool = False) -> None:
        """Let the planner look at the table; PostgreSQL also clean it up, as it does by itself after many inserts."""
        is_postgresql = self.engine.dialect.name == "postgresql"
        analyze = f"{'VACUUM ' * vacuum}ANALYZE" if is_postgresql else "ANALYZE TABLE"
        with self.filling.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"{analyze} {self.table}"))


def payload(size: int) -> dict[str, str]:
    """Return an object whose JSON has ``size`` bytes."""
    return {"pad": "x" * (size - len('{"pad":""}'))}


def mariadb_ground(**options: Any) -> Any:
    """Give a ground on the MariaDB and Kafka of ``make services``, as a context; raises NotReadyError."""
    return _ground(load().mariadb_url, "MariaDB", _require_durable_mariadb, options)


def postgresql_ground(**options: Any) -> Any:
    """Give a ground on the PostgreSQL and Kafka of ``make services``, as a context; raises NotReadyError."""
    return _ground(load().postgresql_url, "PostgreSQL", _require_durable_postgresql, options)


GROUNDS: dict[str, Callable[..., Any]] = {"mariadb": mariadb_ground, "postgresql": postgresql_ground}


@contextmanager
def _ground(
    address: str | None, name: str, require_durable: Callable[[Connection], None], options: dict[str, Any]
) -> Iterator[Ground]:
    kafka = load().kafka_bootstrap
    if not address or not kafka:
        raise NotReadyError(f"{name} and Kafka are needed: run `make services`")
    url = make_url(address)
    database = f"asyncflow_bench_{secrets.token_hex(4)}"
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        require_durable(connection)
        connection.execute(text(f"CREATE DATABASE {database}"))
    try:
        ground = Ground(url.set(database=database), kafka, **options)
        try:
            yield ground
        finally:
            ground.engine.dispose()
    finally:
        force = " WITH (FORCE)" if name == "PostgreSQL" else ""
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {database}{force}"))


def _require_durable_mariadb(connection: Connection) -> None:
    flush = connection.execute(text("SELECT @@innodb_flush_log_at_trx_commit")).scalar_one()
    if flush != 1:
        raise NotReadyError(f"innodb_flush_log_at_trx_commit is {flush}: a figure without durability is none")


def _require_durable_postgresql(connection: Connection) -> None:
    for setting in ("fsync", "synchronous_commit"):
        value = connection.execute(text(f"SHOW {setting}")).scalar_one()
        if value != "on":
            raise NotReadyError(f"{setting} is {value}: a figure without durability is none")

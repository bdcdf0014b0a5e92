"""Debezium's outbox event router over the task table, by the configuration that is shipped: each captured task once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, MetaData, create_engine, delete, make_url, text

from asyncflow import Message, Outbox, Scheduler
from asyncflow.consuming.received import headers_among
from asyncflow.testing import MemoryPublisher
from tests.chaos.private_server import private_server
from tests.integration.integrations.kafka.reading import Stored, read
from tests.support.snippets import ROOT
from tools.services.connect import Connect
from tools.services.errors import CannotServeError
from tools.services.kafka import Kafka
from tools.services.mariadb import MariaDB
from tools.services.mysql import MySQL
from tools.services.ports import LOOPBACK
from tools.services.postgresql import PostgreSQL
from tools.services.service import PASSWORD, USER, Service

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

TASKS, BATCH, KEYS = 10_000, 100, 97
LIMIT_SECONDS = 300.0
DEBEZIUM = ROOT / "deploy" / "debezium"
BINLOG = ("--server-id=1", "--log-bin=bin", "--binlog-format=ROW", "--binlog-row-image=FULL")
SERVERS: dict[str, tuple[Service, tuple[str, ...]]] = {
    "mysql": (MySQL(), BINLOG),
    "mariadb": (MariaDB(), BINLOG),
    "postgresql": (PostgreSQL(), ("--wal_level=logical",)),
}


class Shop:
    """Have a database called shop, the outbox in it, and what was published there, by id."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.outbox = engine, Outbox(MetaData())
        self.outbox.message("order.paid", captured=True)
        self.outbox.message("user.registered")
        self.outbox.tasks.metadata.create_all(engine)
        self.published: dict[UUID, Message] = {}

    def publish(self, numbers: range) -> list[UUID]:
        """Publish a batch in one transaction, beside what a relay is to send and what never happened."""
        messages = [_message(number) for number in numbers]
        with self.engine.begin() as connection:
            ids = self.outbox.publish_many(connection, "order.paid", messages)
            self.outbox.publish(connection, "user.registered", {"n": numbers.start})
        self.published |= dict(zip(ids, messages, strict=True))
        with self.engine.connect() as connection:
            self.outbox.publish(connection, "order.paid", {"rolled": "back"})
            connection.rollback()
        return ids

    def forget(self, ids: list[UUID]) -> None:
        """Delete rows at once, as the cleaner does when their retention is over."""
        tasks = self.outbox.tasks
        with self.engine.begin() as connection:
            connection.execute(delete(tasks).where(tasks.c.id.in_(ids)))

    def relay(self) -> int:
        """Send what a relay is to send, which updates its rows; return how many that were."""
        publisher = MemoryPublisher()
        Scheduler(self.engine, self.outbox, {"kafka": publisher}).drain()
        return len(publisher.records)


def _message(number: int) -> Message:
    key = f"schlüssel-{number % KEYS}" if number % 11 else None
    headers = {"number": str(number), "tenant": "löwe"} if number % 3 else None
    if number % 5:
        return Message({"n": number}, key=key, headers=headers)
    return Message(b"\x00\xff" + str(number).encode(), key=key, headers=headers, content_type="application/x-own")


@pytest.fixture(params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Give the name of a database."""
    return str(request.param)


@pytest.fixture
def until() -> Iterator[ExitStack]:
    """Give what ends the servers of a test."""
    with ExitStack() as until:
        yield until


@pytest.fixture
def kafka(until: ExitStack, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the address of a Kafka of the test's own: the topics are called as the configuration has them."""
    try:
        address = until.enter_context(private_server(Kafka())).url
    except CannotServeError as reason:
        pytest.skip(f"Kafka is not to be had: {reason}")
    monkeypatch.setenv(Kafka.variable, address)
    return address


@pytest.fixture
def shop(name: str, until: ExitStack) -> Shop:
    """Give a shop on a server whose log can be read."""
    service, options = SERVERS[name]
    try:
        url = make_url(until.enter_context(private_server(service, options=options)).url)
    except CannotServeError as reason:
        pytest.skip(f"{name} is not to be had: {reason}")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE shop"))
    server.dispose()
    engine = create_engine(url.set(database="shop"))
    until.callback(engine.dispose)
    return Shop(engine)


def connect(name: str, shop: Shop, kafka: str, until: ExitStack) -> None:
    """Let a worker of Kafka Connect run the configuration of a database, as it is shipped."""
    if name == "postgresql":
        with shop.engine.begin() as connection:
            connection.execute(text((DEBEZIUM / "postgresql.sql").read_text(encoding="utf-8")))
    environment: Mapping[str, str] = {
        "DATABASE_HOST": LOOPBACK,
        "DATABASE_PORT": str(shop.engine.url.port),
        "DATABASE_USER": USER,
        "DATABASE_PASSWORD": PASSWORD,
        "KAFKA_SERVERS": kafka,
    }
    try:
        until.enter_context(private_server(Connect(), environment, [str(DEBEZIUM / f"{name}.json")]))
    except CannotServeError as reason:
        pytest.skip(f"Kafka Connect is not to be had: {reason}")


def await_all(servers: str, topic: str, count: int) -> list[Stored]:
    """Return the records of a topic once there are that many, and what more has come by then."""
    from confluent_kafka import Consumer

    asking, end = Consumer({"bootstrap.servers": servers, "group.id": "asking"}), monotonic() + LIMIT_SECONDS
    try:
        while (stored := _stored(asking, topic)) < count:
            assert monotonic() < end, f"{stored} of {count} records of {topic} came"
    finally:
        asking.close()
    return read(servers, topic, stored)


def _stored(asking: Any, topic: str) -> int:
    """Return how many records the broker has; none of a topic that is being made."""
    from confluent_kafka import KafkaException, TopicPartition

    known = asking.list_topics(timeout=60).topics
    partitions = known[topic].partitions if topic in known else {}
    try:
        marks = [asking.get_watermark_offsets(TopicPartition(topic, one), timeout=60) for one in partitions]
    except KafkaException:
        return 0
    return sum(high for _, high in marks)


def expected(task_id: UUID, message: Message) -> tuple[Any, bytes, dict[str, bytes]]:
    """Return key, value and headers as a relay sends them."""
    is_bytes = isinstance(message.payload, bytes)
    value = message.payload if is_bytes else json.dumps(message.payload, separators=(",", ":")).encode()
    named = {"message-id": str(task_id), "message-type": "order.paid"}
    named |= {"content-type": message.content_type or "application/json", **(message.headers or {})}
    headers = {header: text.encode() for header, text in named.items()}
    return message.key and message.key.encode(), value, headers


def test_debezium_sends_each_captured_task_once_as_a_relay_would(
    name: str, shop: Shop, kafka: str, until: ExitStack
) -> None:
    shop.publish(range(BATCH))  # before anybody captures: the first look at the table finds them
    connect(name, shop, kafka, until)
    await_all(kafka, "order.paid", BATCH)
    for first in range(BATCH, TASKS, BATCH):
        ids = shop.publish(range(first, first + BATCH))
        if first % (2 * BATCH):
            shop.forget(ids)
    assert shop.relay() == TASKS // BATCH
    records = await_all(kafka, "order.paid", TASKS)

    found = [(record, headers_among(record.headers)) for record in records]
    ids = [UUID(headers["message-id"].decode()) for _, headers in found]
    assert len(ids) == TASKS
    assert set(ids) == shop.published.keys()
    for task_id, (record, headers) in zip(ids, found, strict=True):
        assert (record.key, record.value, headers) == expected(task_id, shop.published[task_id])
    assert out_of_order(ids, found, list(shop.published)) == {}
    assert topics(kafka) == {"order.paid"}


def out_of_order(ids: list[UUID], found: Any, written: list[UUID]) -> dict[bytes, list[int]]:
    """Return the keys whose messages came otherwise than they were committed; those of a key are in one partition."""
    places, of_keys = {task_id: place for place, task_id in enumerate(written)}, defaultdict[bytes, list[int]](list)
    for task_id, (record, _) in zip(ids, found, strict=True):
        if record.key is not None:
            of_keys[record.key].append(places[task_id])
    return {key: came for key, came in of_keys.items() if came != sorted(came)}


def topics(servers: str) -> set[str]:
    """Return the topics that hold messages of tasks: all but those that Debezium and Kafka keep for themselves."""
    from confluent_kafka.admin import AdminClient

    all_of_them = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=60).topics
    return {one for one in all_of_them if not one.startswith("__") and one != "asyncflow.schema-history"}

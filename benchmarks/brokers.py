"""A database to each broker that is up, acknowledged and settled, beside the broker's own client without a database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.scheduler import Publisher
from benchmarks.figure import Figure, at_least, faster, not_measured
from benchmarks.ground import mariadb_ground, payload
from benchmarks.plan import Plan
from benchmarks.relay import drain_speed
from benchmarks.rivals import bare_clients
from tools.services import load

_GOAL = at_least(0.5)
_WARM_UP = 500
_ROUND = 2000
_WHERE = "reading and settling rows, which the client by itself has not to do; Python does one of both at a time"


class Broker(NamedTuple):
    """Hold how to reach a broker, what to make there, and how many rows last for seconds on both sides."""

    name: str
    client: str
    address: str | None
    make_publisher: Callable[[str], Publisher]
    make_sender: Callable[[str, str], bare_clients.Sender]
    make_topic: Callable[[str, str], Callable[[], object]]  # returns what deletes it
    rows: int
    bare_rows: int


def brokers(plan: Plan) -> list[Figure]:
    """Measure the relay to each broker from MariaDB, 300 bytes a message, settled by UPDATE."""
    known = _brokers()
    part = plan.part(1 / len(known))
    return [figure for broker in plan.cases(known) for figure in _beside_client(broker, part)]


def _brokers() -> list[Broker]:
    services = load()
    proxy = urlsplit(services.rocketmq_url).netloc if services.rocketmq_url else None
    return [
        Broker("RocketMQ, FIFO", "rocketmq", proxy, _rocketmq, bare_clients.rocketmq, _rocketmq_topic, 20_000, 1000),
        Broker(
            "NATS JetStream", "nats-py", services.nats_url, _nats, bare_clients.nats_py, _nats_stream, 40_000, 40_000
        ),
        Broker(
            "Redis Streams",
            "redis-py",
            services.redis_url,
            _redis,
            bare_clients.redis_py,
            _redis_stream,
            60_000,
            60_000,
        ),
        Broker(
            "RabbitMQ, quorum", "pika", services.rabbitmq_url, _rabbitmq, bare_clients.pika, _quorum_queue, 40_000, 2000
        ),
        Broker(
            "Kafka",
            "confluent-kafka",
            services.kafka_bootstrap,
            ConfluentKafkaPublisher,
            bare_clients.confluent_kafka,
            _kafka_topic,
            60_000,
            100_000,
        ),
    ]


def _beside_client(broker: Broker, plan: Plan) -> list[Figure]:
    name, beside = f"MariaDB to {broker.name}, 300 B", f"{broker.client} alone, without a database"
    if not broker.address:
        why = f"it is not up: make services SERVICES={broker.name.split()[0].strip(',').lower()!r}"
        return [not_measured(name, beside, why, _GOAL)]
    topic = f"bench-{secrets.token_hex(4)}"
    with _topic_of(broker, topic), mariadb_ground(topic=topic) as ground:
        scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": broker.make_publisher(broker.address)})
        with closing(broker.make_sender(broker.address, topic)) as send:
            drain_speed(ground, scheduler.drain, plan.scaled(_WARM_UP))
            _speed_alone(send, plan.scaled(_WARM_UP))
            sides: dict[str, Callable[[], float]] = {
                "ours": partial(drain_speed, ground, scheduler.drain, plan.scaled(broker.rows)),
                "alone": partial(_speed_alone, send, plan.scaled(broker.bare_rows)),
            }
            speeds = plan.alternate(sides)
        scheduler.stop()
    details = {"rows": broker.rows, "rows beside": broker.bare_rows}
    return [faster(name, speeds["ours"], beside, speeds["alone"], goal=_GOAL, where=_WHERE, details=details)]


def _speed_alone(send: bare_clients.Sender, rows: int) -> float:
    content = str(payload(300)["pad"]).encode().ljust(300, b"x")
    began = perf_counter()
    for first in range(0, rows, _ROUND):
        numbers = range(first, min(rows, first + _ROUND))
        send([(secrets.token_bytes(16), f"account-{number % 1000}", content) for number in numbers])
    return rows / (perf_counter() - began)


# -- what the brokers need ---------------------------------------------------------------------------------


@contextmanager
def _topic_of(broker: Broker, topic: str) -> Iterator[None]:
    delete = broker.make_topic(broker.address or "", topic)
    try:
        yield
    finally:
        delete()


def _kafka_topic(_: str, __: str) -> Callable[[], object]:
    return lambda: None  # the broker makes it


def _rabbitmq(url: str) -> Publisher:
    from asyncflow.integrations.rabbitmq import RabbitMQPublisher, RabbitMQSettings

    return RabbitMQPublisher(url, RabbitMQSettings(exchange=""))


def _quorum_queue(url: str, topic: str) -> Callable[[], object]:
    from pika import BlockingConnection, URLParameters

    connection = BlockingConnection(URLParameters(url))
    connection.channel().queue_declare(topic, durable=True, arguments={"x-queue-type": "quorum"})
    connection.close()

    def delete() -> None:
        connection = BlockingConnection(URLParameters(url))
        connection.channel().queue_delete(topic)
        connection.close()

    return delete


def _redis(url: str) -> Publisher:
    from asyncflow.integrations.redis import RedisPublisher

    return RedisPublisher(url)


def _redis_stream(url: str, topic: str) -> Callable[[], object]:
    from redis import Redis

    return lambda: Redis.from_url(url).delete(topic)


def _nats(url: str) -> Publisher:
    from asyncflow.integrations.nats import NatsPublisher

    return NatsPublisher(url)


def _nats_stream(url: str, topic: str) -> Callable[[], object]:
    import nats

    async def ask(*, makes: bool) -> None:
        client = await nats.connect(url)
        manager: Any = client.jetstream()
        await (manager.add_stream(name=topic, subjects=[topic]) if makes else manager.delete_stream(topic))
        await client.close()

    asyncio.run(ask(makes=True))
    return lambda: asyncio.run(ask(makes=False))


def _rocketmq(proxy: str) -> Publisher:
    from asyncflow.integrations.rocketmq import RocketMQPublisher

    return RocketMQPublisher(proxy)


def _rocketmq_topic(_: str, topic: str) -> Callable[[], object]:
    from tests.integration.integrations.rocketmq.plain_client import PlainClient  # no client of Python makes topics

    host, port = parse_qs(urlsplit(str(load().rocketmq_url)).query)["broker"][0].split(":")
    broker = PlainClient(host, int(port))
    broker.make_topic(topic, queues=8)
    return lambda: broker.delete_topic(topic)

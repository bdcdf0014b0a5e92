"""The brokers that crash tests kill: how each is started, published to and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.scheduler import Publisher
from tests.chaos.private_server import PrivateServer, private_server
from tests.chaos.topics import read_records
from tools.services.errors import CannotServeError
from tools.services.kafka import Kafka
from tools.services.nats import Nats
from tools.services.rabbitmq import RabbitMQ
from tools.services.redis import Redis
from tools.services.rocketmq import RocketMQ
from tools.services.service import Service

TOPIC = "moved"
_REMEMBERED_NANOSECONDS = 10**12  # in which NATS drops what comes again: longer than any test


class Broker(NamedTuple):
    """Hold what a test needs of a kind of broker; ``read`` gives key and id of all that is stored, in its order."""

    library: str
    service: Service
    make_topic: Callable[[str], None]
    make_publisher: Callable[[str], Publisher]
    read: Callable[[str], list[tuple[str, str]]]


@contextmanager
def started(name: str) -> Iterator[PrivateServer]:
    """Start one of the test's own, with its topic; skips aloud where it is not to be had."""
    broker = BROKERS[name]
    if find_spec(broker.library) is None:
        pytest.skip(f"{broker.library} is not installed")
    try:
        with private_server(broker.service) as server:
            broker.make_topic(server.url)
            yield server
    except CannotServeError as reason:
        pytest.skip(f"{name} is not to be had: {reason}")


# -- Kafka -------------------------------------------------------------------------------------------------


def _read_kafka(url: str) -> list[tuple[str, str]]:
    return [(key, its_id) for its_id, key, _ in read_records(TOPIC, url)]


# -- RabbitMQ ----------------------------------------------------------------------------------------------


def _rabbitmq(url: str) -> Publisher:
    from asyncflow.integrations.rabbitmq import RabbitMQPublisher, RabbitMQSettings

    return RabbitMQPublisher(url, RabbitMQSettings(exchange=""))


def _quorum_queue(url: str) -> None:
    from pika import BlockingConnection, URLParameters

    with closing(BlockingConnection(URLParameters(url))) as connection:
        connection.channel().queue_declare(TOPIC, durable=True, arguments={"x-queue-type": "quorum"})


def _read_rabbitmq(url: str) -> list[tuple[str, str]]:
    from pika import BlockingConnection, URLParameters

    found: list[tuple[str, str]] = []
    with closing(BlockingConnection(URLParameters(url))) as connection:
        channel = connection.channel()
        count = channel.queue_declare(TOPIC, passive=True).method.message_count
        while len(found) < count:
            _, properties, _ = channel.basic_get(TOPIC, auto_ack=True)
            if properties is not None:
                found.append((properties.headers["message-key"], properties.message_id))
    return found


# -- Redis -------------------------------------------------------------------------------------------------


def _redis(url: str) -> Publisher:
    from asyncflow.integrations.redis import RedisPublisher

    return RedisPublisher(url)


def _read_redis(url: str) -> list[tuple[str, str]]:
    import redis

    with closing(redis.Redis.from_url(url)) as client:
        entries: Any = client.xrange(TOPIC)
    return [(fields[b"key"].decode(), fields[b"header:message-id"].decode()) for _, fields in entries]


# -- NATS --------------------------------------------------------------------------------------------------


def _nats(url: str) -> Publisher:
    from asyncflow.integrations.nats import NatsPublisher

    return NatsPublisher(url)


def _stream(url: str) -> None:
    from tests.integration.integrations.nats.plain_client import PlainClient

    its = {"name": TOPIC, "subjects": [TOPIC], "storage": "file", "duplicate_window": _REMEMBERED_NANOSECONDS}
    with closing(PlainClient(url)) as client:
        client.api(f"STREAM.CREATE.{TOPIC}", its)


def _read_nats(url: str) -> list[tuple[str, str]]:
    from tests.integration.integrations.nats.jets import record_of
    from tests.integration.integrations.nats.plain_client import PlainClient

    with closing(PlainClient(url)) as client:
        last = client.api(f"STREAM.INFO.{TOPIC}")["state"]["last_seq"]
        kept = [client.api(f"STREAM.MSG.GET.{TOPIC}", {"seq": number + 1})["message"] for number in range(last)]
    return [_key_and_id(record_of(TOPIC, one)) for one in kept]


# -- RocketMQ ----------------------------------------------------------------------------------------------


def _rocketmq(url: str) -> Publisher:
    from asyncflow.integrations.rocketmq import RocketMQPublisher

    parts = urlsplit(url)
    return RocketMQPublisher(f"{parts.hostname}:{parts.port}")


def _fifo_topic(url: str) -> None:
    _rocketmq_client(url).make_topic(TOPIC)


def _read_rocketmq(url: str) -> list[tuple[str, str]]:
    from tests.integration.integrations.rocketmq.rockets import record_of

    client = _rocketmq_client(url)
    return [_key_and_id(record_of(TOPIC, one)) for one in client.stored(TOPIC)]


def _rocketmq_client(url: str) -> Any:
    from tests.integration.integrations.rocketmq.plain_client import QUEUES, PlainClient

    host, port = parse_qs(urlsplit(url).query)["broker"][0].split(":")
    client: Any = PlainClient(host, int(port))
    client._queues[TOPIC] = QUEUES
    return client


def _key_and_id(record: Any) -> tuple[str, str]:
    return record.key.decode(), dict(record.headers)["message-id"].decode()


BROKERS = {
    "kafka": Broker("confluent_kafka", Kafka(), lambda _: None, ConfluentKafkaPublisher, _read_kafka),
    "rabbitmq": Broker("pika", RabbitMQ(), _quorum_queue, _rabbitmq, _read_rabbitmq),
    "redis": Broker("redis", Redis(), lambda _: None, _redis, _read_redis),
    "nats": Broker("nats", Nats(), _stream, _nats, _read_nats),
    "rocketmq": Broker("rocketmq", RocketMQ(), _fifo_topic, _rocketmq, _read_rocketmq),
}

"""One scheduler with five destinations on five brokers: whichever of them is killed, the others flow as before."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Engine, MetaData, func, select

from asyncflow import Message, Outbox, Scheduler, Status
from asyncflow.events import Event, TasksSettled
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.scheduler import Publisher
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_mariadb
from tests.chaos.private_server import PrivateServer, private_server
from tests.unit.scheduler.waiting import eventually
from tools.services.errors import CannotServeError
from tools.services.kafka import Kafka
from tools.services.nats import Nats
from tools.services.rabbitmq import RabbitMQ
from tools.services.redis import Redis
from tools.services.rocketmq import RocketMQ
from tools.services.service import Service

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

_A_SECOND, _KEYS = 100, 50  # messages to each destination
_WINDOW_SECONDS = 10.0
_GOAL = 0.95
_LATE_SECONDS = 300.0
TOPIC = "moved"


class Broker(NamedTuple):
    """Hold a server that may be killed, and how its topic and its publisher are made."""

    server: PrivateServer
    make_publisher: Callable[[str], Publisher]


class Flow:
    """Publish so much a second to each destination, and count what is acknowledged and settled."""

    def __init__(self, engine: Engine, outbox: Outbox, names: list[str]) -> None:
        self.published: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()
        self._engine, self._outbox, self._names = engine, outbox, names
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)

    def __call__(self, event: Event) -> None:
        if isinstance(event, TasksSettled):
            self.settled[event.destination] += event.succeeded

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def window(self) -> dict[str, float]:
        """Return the part of what was published to each within some seconds that was settled within the same."""
        published, settled = self.published.copy(), self.settled.copy()
        time.sleep(_WINDOW_SECONDS)
        return {
            name: (self.settled[name] - settled[name]) / (self.published[name] - published[name])
            for name in self._names
        }

    def _publish(self) -> None:
        begin, number = time.monotonic(), 0
        while not self._ends.wait(max(0.0, begin + number / 10 - time.monotonic())):
            with self._engine.begin() as connection:
                for name in self._names:
                    keys = (f"k{(number + one) % _KEYS}" for one in range(_A_SECOND // 10))
                    self._outbox.publish_many(connection, f"to.{name}", [Message(b"x" * 300, key=key) for key in keys])
            self.published.update(dict.fromkeys(self._names, _A_SECOND // 10))
            number += 1


@pytest.fixture
def brokers() -> Iterator[dict[str, Broker]]:
    """Give the five, each killed with the test."""
    if find_spec("rocketmq") is None:
        pytest.skip("rocketmq-python-client is not installed")
    services: dict[str, tuple[Service, Callable[[str], Publisher], Callable[[str], None]]] = {
        "kafka": (Kafka(), ConfluentKafkaPublisher, lambda _: None),
        "rabbitmq": (RabbitMQ(), _rabbitmq, _quorum_queue),
        "redis": (Redis(), _redis, lambda _: None),
        "nats": (Nats(), _nats, _stream),
        "rocketmq": (RocketMQ(), _rocketmq, _fifo_topic),
    }
    with ExitStack() as until:
        found: dict[str, Broker] = {}
        for name, (service, make_publisher, make_topic) in services.items():
            try:
                server = until.enter_context(private_server(service))
            except CannotServeError as reason:
                pytest.skip(f"{name} is not to be had: {reason}")
            make_topic(server.url)
            found[name] = Broker(server, make_publisher)
        yield found


@on_mariadb
def test_whichever_of_five_brokers_is_killed_the_others_flow_as_before(
    engine: Engine, brokers: dict[str, Broker], finding: Tell
) -> None:
    metadata = MetaData()
    outbox = Outbox(metadata)
    for name in brokers:
        outbox.message(f"to.{name}", destination=name, topic=TOPIC)
    metadata.create_all(engine)
    flow = Flow(engine, outbox, list(brokers))
    publishers = {name: broker.make_publisher(broker.server.url) for name, broker in brokers.items()}
    ratios: dict[str, float] = {}
    with Scheduler(engine, outbox, publishers, hooks=[flow]):
        with flow:
            eventually(lambda: all(flow.settled[name] > _A_SECOND for name in brokers), _LATE_SECONDS)
            for name, broker in brokers.items():
                ratios[name] = beside_killed(flow, name, broker.server, finding)
                eventually(lambda name=name: flow.settled[name] >= flow.published[name] - _A_SECOND, _LATE_SECONDS)  # type: ignore[misc]
        eventually(lambda: flow.settled == flow.published, _LATE_SECONDS)
    tasks = outbox.tasks.c
    with engine.connect() as connection:
        states = connection.execute(
            select(tasks.status, tasks.retry_count, func.count()).group_by(tasks.status, tasks.retry_count)
        )
        assert [(status, retries) for status, retries, _ in states] == [(int(Status.SUCCESS), 0)]
    assert min(ratios.values()) >= _GOAL, ratios


def beside_killed(flow: Flow, name: str, server: PrivateServer, finding: Tell) -> float:
    """Kill a server for a while; return the least part of its flow that another one had meanwhile."""
    before = flow.window()
    server.kill()
    time.sleep(1.0)  # what was on its way
    beside = flow.window()
    server.start()
    # One that still had something to catch up with had more than its part before.
    least = min(beside[other] / min(1.0, before[other]) for other in before if other != name)
    finding(
        json.dumps({"killed": name, "its own part": round(beside[name], 3), "least of the others": round(least, 3)})
    )
    return least


# -- what each needs ---------------------------------------------------------------------------------------


def _rabbitmq(url: str) -> Publisher:
    from asyncflow.integrations.rabbitmq import RabbitMQPublisher, RabbitMQSettings

    return RabbitMQPublisher(url, RabbitMQSettings(exchange=""))


def _quorum_queue(url: str) -> None:
    from pika import BlockingConnection, URLParameters

    with closing(BlockingConnection(URLParameters(url))) as connection:
        connection.channel().queue_declare(TOPIC, durable=True, arguments={"x-queue-type": "quorum"})


def _redis(url: str) -> Publisher:
    from asyncflow.integrations.redis import RedisPublisher

    return RedisPublisher(url)


def _nats(url: str) -> Publisher:
    from asyncflow.integrations.nats import NatsPublisher

    return NatsPublisher(url)


def _stream(url: str) -> None:
    from tests.integration.integrations.nats.plain_client import PlainClient

    with closing(PlainClient(url)) as client:
        client.api(f"STREAM.CREATE.{TOPIC}", {"name": TOPIC, "subjects": [TOPIC], "storage": "file"})


def _rocketmq(url: str) -> Publisher:
    from asyncflow.integrations.rocketmq import RocketMQPublisher

    parts = urlsplit(url)
    return RocketMQPublisher(f"{parts.hostname}:{parts.port}")


def _fifo_topic(url: str) -> None:
    from tests.integration.integrations.rocketmq.plain_client import PlainClient

    host, port = parse_qs(urlsplit(url).query)["broker"][0].split(":")
    client: Any = PlainClient(host, int(port))
    client.make_topic(TOPIC)

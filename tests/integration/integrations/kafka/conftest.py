"""Run each test of the suite for both adapters, on Apache Kafka where there is one."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest

from asyncflow.integrations.kafka import KafkaSettings
from tests.integration.integrations.kafka.adapters import CONFLUENT, KAFKA_PYTHON, Adapter, AnyPublisher
from tests.integration.integrations.kafka.mock_cluster import MockCluster
from tools.services import load

LASTING = KafkaSettings(delivery_timeout_seconds=60)  # a busy machine's broker may answer late
MakePublisher = Callable[..., AnyPublisher]
MakeTopic = Callable[[str], str]


@pytest.fixture(params=[KAFKA_PYTHON, CONFLUENT], ids=["kafka-python", "confluent-kafka"])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Give the adapter under test."""
    adapter: Adapter = request.param
    pytest.importorskip(adapter.library)
    return adapter


@pytest.fixture
def mock() -> Iterator[MockCluster]:
    """Give a cluster that this test may freeze, kill and let fail."""
    with MockCluster() as cluster:
        yield cluster


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> str:
    """Give the address of Apache Kafka, or of a mock cluster where there is none."""
    services = load()
    if services.kafka_is_real and services.kafka_bootstrap:
        return services.kafka_bootstrap
    return str(request.getfixturevalue("mock").bootstrap)


@pytest.fixture
def make_topic(request: pytest.FixtureRequest) -> MakeTopic:
    """Give a function that makes a topic on Apache Kafka, which takes it a while, and returns the name."""

    def make(name: str) -> str:
        servers = load().kafka_bootstrap
        if "kafka" in request.fixturenames and load().kafka_is_real and servers:
            library = pytest.importorskip("confluent_kafka.admin")
            admin = library.AdminClient({"bootstrap.servers": servers})
            new = library.NewTopic(name, num_partitions=4, replication_factor=1)
            admin.create_topics([new])[name].result(120)
        return name

    return make


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """Give the name of a topic that nobody has used; Apache Kafka has it already."""
    return make_topic(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def make_publisher(adapter: Adapter) -> Iterator[MakePublisher]:
    """Give a function that makes publishers of the adapter; they are closed afterwards."""
    made: list[AnyPublisher] = []

    def make(
        servers: str, settings: KafkaSettings | None = None, client_options: Mapping[str, object] | None = None
    ) -> AnyPublisher:
        is_real = servers == load().kafka_bootstrap and load().kafka_is_real
        options = {**({} if is_real else adapter.for_mock), **(client_options or {})}
        publisher = adapter.publisher(servers, settings or LASTING, client_options=options)
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.close()


@pytest.fixture
def closed_port() -> Iterator[str]:
    """Give an address that nobody listens on, and that nobody else can take."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def mute_server() -> Iterator[str]:
    """Give the address of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"

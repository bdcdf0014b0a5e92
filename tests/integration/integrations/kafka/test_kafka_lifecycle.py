"""A publisher starts when it is used, leaves nothing behind, and says how to get what it lacks."""

from __future__ import annotations

import subprocess
import sys
from time import monotonic

import pytest

from asyncflow.errors import MissingExtraError
from asyncflow.integrations.kafka import KafkaSettings
from asyncflow.scheduler.publishing.publisher import SENT, Unavailable
from tests.integration.integrations.kafka import forking_process
from tests.integration.integrations.kafka.adapters import Adapter
from tests.integration.integrations.kafka.conftest import MakePublisher
from tests.integration.integrations.kafka.mock_cluster import MockCluster
from tests.integration.integrations.kafka.reading import read
from tests.integration.integrations.kafka.watching import (
    batch,
    client_threads,
    eventually,
    open_files,
    publish_until_sent,
)

pytestmark = pytest.mark.timeout(240)

PATIENT = KafkaSettings(delivery_timeout_seconds=1)


def left_beside(threads: set[tuple[str, str]], files: int) -> str:
    """Tell what is there that was not."""
    return f"threads {client_threads() - threads}, {open_files()} open files of {files}"


def test_construction_neither_connects_nor_waits(make_publisher: MakePublisher, closed_port: str) -> None:
    before, began = client_threads(), monotonic()
    make_publisher(closed_port)
    assert monotonic() - began < 30.0
    assert client_threads() <= before


def test_an_empty_batch_asks_nothing_of_the_broker(make_publisher: MakePublisher, closed_port: str) -> None:
    assert list(make_publisher(closed_port).publish([])) == []


def test_close_may_be_repeated_and_publishing_afterwards_is_unavailable(
    make_publisher: MakePublisher, kafka: str, topic: str
) -> None:
    publisher = make_publisher(kafka)
    assert publisher.publish(batch(topic)) == [SENT] * 100
    publisher.close()
    publisher.close()
    assert publisher.publish(batch(topic)) == [Unavailable("the publisher is closed")] * 100


def test_close_ends_every_thread_and_socket(make_publisher: MakePublisher, kafka: str, topic: str) -> None:
    before, files = client_threads(), open_files()
    publisher = make_publisher(kafka)
    assert publisher.publish(batch(topic)) == [SENT] * 100
    assert client_threads() - before
    publisher.close()
    assert eventually(lambda: client_threads() <= before and open_files() <= files), left_beside(before, files)


def test_close_beside_a_frozen_broker_is_bounded_and_ends_every_thread(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    before = client_threads()
    publisher = make_publisher(mock.bootstrap, PATIENT)
    publish_until_sent(publisher, topic)
    mock.freeze()
    publisher.publish(batch(topic))
    began = monotonic()
    publisher.close()
    assert monotonic() - began < 60.0
    assert eventually(lambda: client_threads() <= before), client_threads() - before


def test_connecting_in_vain_leaves_neither_sockets_nor_threads(
    make_publisher: MakePublisher, mute_server: str, topic: str
) -> None:
    before = client_threads()
    publisher = make_publisher(mute_server, PATIENT)
    publisher.publish(batch(topic))
    files = open_files()
    for _ in range(3):
        publisher.publish(batch(topic))
    assert eventually(lambda: client_threads() <= before and open_files() <= files), left_beside(before, files)


def test_the_package_imports_without_any_client() -> None:
    program = "import sys, asyncflow.integrations.kafka; print(*{'kafka', 'confluent_kafka'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_missing_extra_is_named_with_its_pip_line(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, adapter.library, None)
    with pytest.raises(MissingExtraError) as caught:
        adapter.publisher("localhost:9092")
    assert f'pip install "asyncflow-outbox[{adapter.extra}]"' in str(caught.value)
    assert caught.value.__cause__ is not None


def test_after_a_fork_parent_and_child_each_publish_through_a_client_of_their_own(
    adapter: Adapter, kafka: str, topic: str
) -> None:
    program = [sys.executable, "-m", forking_process.__name__, adapter.library, kafka, topic]
    assert subprocess.run(program, timeout=200, check=False).returncode == 0
    assert len(read(kafka, topic, 300)) == 300

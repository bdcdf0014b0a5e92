"""The broker of one run: the mock cluster, or the Kafka that `make services` started."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from examples.registration_demo.show.errors import ShowError
from examples.registration_demo.show.processes import Processes

ANSWER_SECONDS = 10.0
PARTITIONS = 4


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Tell where the broker is, and which topic is this run's own.

    ``pid`` is None if the process is not ours to stop; ``why_not`` tells the reason.
    """

    title: str
    address: str
    topic: str
    pid: int | None
    is_real: bool = False
    why_not: str = ""

    def group_of(self, service: str) -> str:
        """Return the name of a service's consumer group, for this run."""
        return f"{self.topic}.{service}"

    def messages(self) -> int:
        """Return how many messages the topic holds."""
        reader = Consumer({"bootstrap.servers": self.address, "group.id": f"{self.topic}.reader"})
        try:
            known = reader.list_topics(self.topic, timeout=ANSWER_SECONDS).topics[self.topic].partitions
            ends = (
                reader.get_watermark_offsets(TopicPartition(self.topic, number), timeout=ANSWER_SECONDS)
                for number in known
            )
            return sum(high - low for low, high in ends)
        except KafkaException as error:
            raise ShowError(f"the broker does not tell what the topic holds: {error}") from error
        finally:
            reader.close()


def new_topic() -> str:
    """Return the name of a topic that no other run uses."""
    return f"demo-{os.getpid()}-{secrets.token_hex(4)}.user.registered"


async def mock_broker(processes: Processes) -> Broker:
    """Start the mock cluster."""
    topic = new_topic()
    child = processes.start("broker", "-m", "examples.registration_demo.show.mock_broker", topic)
    address = await child.answer(r"serves at (\S+)\n")
    return Broker(title="a Kafka-protocol broker", address=address, topic=topic, pid=child.pid)


@contextmanager
def own_topic(broker: Broker, groups: list[str]) -> Iterator[None]:
    """Create a topic, and delete it at the end, with the consumer groups that read it.

    A mock cluster answers no admin request: there a topic comes into being when it is asked for.
    """
    admin = AdminClient({"bootstrap.servers": broker.address}, logger=logging.getLogger("admin"))
    try:
        if broker.is_real:
            _wait(admin.create_topics([NewTopic(broker.topic, PARTITIONS)], request_timeout=ANSWER_SECONDS))
        else:
            admin.list_topics(broker.topic, timeout=ANSWER_SECONDS)
    except KafkaException as error:
        raise ShowError(f"Kafka at {broker.address} does not make a topic: {error}; run `make services`") from error
    try:
        yield
    finally:
        if broker.is_real:
            with suppress(KafkaException):  # a topic left behind is no reason to fail
                _wait(admin.delete_topics([broker.topic], request_timeout=ANSWER_SECONDS))
                _wait(admin.delete_consumer_groups(groups, request_timeout=ANSWER_SECONDS))


def _wait(futures: Mapping[str, Future[Any]]) -> None:
    for future in futures.values():
        future.result()


@contextmanager
def stopped(pid: int, at_most_seconds: float) -> Iterator[None]:
    """Stop a process by SIGSTOP, and let it go on at the end.

    A shell of its own lets it go on in any case, should this process be killed meanwhile.
    """
    script = ["sh", "-c", 'sleep "$1"; kill -CONT "$2"', "sh", str(at_most_seconds), str(pid)]
    guard = subprocess.Popen(script, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()

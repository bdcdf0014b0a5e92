"""The topic of one run, on the broker that `make services` started."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from time import sleep
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from examples.registration_demo.show.broker import ANSWER_SECONDS, Broker
from examples.registration_demo.show.errors import ShowError

PARTITIONS = 4
ATTEMPTS, ATTEMPT_AGAIN_SECONDS = 10, 0.5


@contextmanager
def own_topic(broker: Broker, groups: list[str]) -> Iterator[None]:
    """Create a topic, and delete it at the end, with the consumer groups that read it.

    A mock cluster answers no admin request: there a topic comes into being when it is asked for.
    """
    admin = AdminClient(broker.client())
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
            _delete_topic(admin, broker.topic)
            with suppress(KafkaException):  # one that still counts a member is forgotten by Kafka in time
                _wait(admin.delete_consumer_groups(groups, request_timeout=ANSWER_SECONDS))


def _delete_topic(admin: AdminClient, topic: str) -> None:
    """Ask again and again, for the broker may be just back; a topic left behind is told, and no reason to fail."""
    refusal = ""
    for _ in range(ATTEMPTS):
        try:
            _wait(admin.delete_topics([topic], request_timeout=ANSWER_SECONDS))
            return
        except KafkaException as error:
            refusal = str(error)
            sleep(ATTEMPT_AGAIN_SECONDS)
    print(f"the topic {topic} is left behind: {refusal}", file=sys.stderr)


def _wait(futures: Mapping[str, Future[Any]]) -> None:
    for future in futures.values():
        future.result()

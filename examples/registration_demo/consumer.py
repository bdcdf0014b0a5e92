"""The Kafka side that `coupon` and `points` share: one transaction for each message, its offset afterwards."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import Consumer
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from examples.registration_demo.settings import Settings

POLL_SECONDS = 0.2
LOGGER = logging.getLogger("consumer")


class Delivery(NamedTuple):
    """Hold one delivery of a message; the same message, with the same id, may be delivered again."""

    message_id: bytes
    body: dict[str, Any]

    @classmethod
    def of(cls, received: Any) -> Delivery:
        """Take apart what the Kafka client received."""
        return cls(dict(received.headers())["message-id"], json.loads(received.value()))


Take = Callable[[Session, Delivery], None]


def consume(settings: Settings, engine: Engine, take: Take) -> None:
    """Give each delivery to ``take``, in a transaction of its own, until SIGTERM.

    An error ends the process; started again, it is given the same message again.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    consumer = _open(settings)
    stopping = _on_sigterm()
    try:
        while not stopping:
            received = consumer.poll(POLL_SECONDS)
            if received is None:
                continue
            if received.error():
                LOGGER.warning("%s", received.error())
                continue
            with Session(engine) as session, session.begin():
                take(session, Delivery.of(received))
            # The offset moves on only after the commit: a crash in between delivers the message again, which
            # the inbox absorbs. The other order would lose it.
            consumer.store_offsets(received)
    finally:
        consumer.close()


def _open(settings: Settings) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": settings.group,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "auto.commit.interval.ms": 500,
            # Kafka answers a fetch as soon as there is a message; the mock cluster lets the whole wait pass.
            "fetch.wait.max.ms": 50,
            "logger": LOGGER,
        }
    )
    consumer.subscribe([settings.topic], on_assign=_tell_partitions)
    return consumer


def _tell_partitions(_: Consumer, partitions: list[Any]) -> None:
    LOGGER.info("reads partitions %s", sorted(partition.partition for partition in partitions))


def _on_sigterm() -> list[int]:
    """Return a list that stays empty until SIGTERM arrives."""
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    return received

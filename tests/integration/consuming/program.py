"""A consumer in a process of its own: ``python -m ...program`` MODULE DATABASE BROKER TOPIC GROUP [ACKNOWLEDGEMENTS].

With a number of acknowledgements it kills itself in place of the next, between a commit and its acknowledgement.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert
from sqlalchemy.orm import Session

from asyncflow import Inbox, Outbox
from asyncflow.consuming.queue_consumer import QueueConsumer

metadata = MetaData()
effects = Table(
    "effects", metadata, Column("id", Integer, primary_key=True), Column("number", Integer), Column("by", String(20))
)
Outbox(metadata)
Inbox(metadata)


def make(module: str, url: str, broker_url: str, topic: str, group: str) -> QueueConsumer:
    """Make a consumer with two subscribers, of an outbox of its own."""
    own = MetaData()
    pause_seconds = float(os.environ.get("ASYNCFLOW_TEST_PAUSE", "0.005"))
    make_consumer: Any = import_module(module).make_consumer
    consumer: QueueConsumer = make_consumer(create_engine(url), Outbox(own), Inbox(own), broker_url, group=group)

    @consumer.subscribe("coupon.granted", topic=topic)
    def first(session: Session, number: int) -> None:
        session.execute(insert(effects).values(number=number, by="first"))
        time.sleep(pause_seconds)  # so that a signal comes in the middle

    @consumer.subscribe("coupon.granted", topic=topic)
    def second(session: Session, number: int) -> None:
        session.execute(insert(effects).values(number=number, by="second"))

    return consumer


def mortal(consumer: QueueConsumer, acknowledgements: int) -> QueueConsumer:
    """Let it kill its process where it would acknowledge once more than so often."""
    connect: Any = consumer._connect
    left = [acknowledgements]

    def connect_mortally(topics: Any) -> Any:
        client = connect(topics)
        acknowledge = client.acknowledge

        def acknowledge_or_die(delivery: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            acknowledge(delivery)

        client.acknowledge = acknowledge_or_die
        return client

    consumer._connect = connect_mortally  # type: ignore[method-assign]
    return consumer


def consumer() -> QueueConsumer:
    """Make it of the environment, for the command."""
    return make(*os.environ["ASYNCFLOW_TEST_CONSUMER"].split(" "))


if __name__ == "__main__":
    made = make(*sys.argv[1:6])
    (mortal(made, int(sys.argv[6])) if len(sys.argv) > 6 else made).run()

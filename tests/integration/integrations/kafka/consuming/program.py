"""A consumer in a process of its own: ``python -m ...program`` URL SERVERS TOPIC GROUP CLIENT."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert
from sqlalchemy.orm import Session

from asyncflow import Inbox, Outbox
from asyncflow.integrations.kafka.consuming import Consumer

metadata = MetaData()
effects = Table(
    "effects", metadata, Column("id", Integer, primary_key=True), Column("number", Integer), Column("by", String(20))
)
Outbox(metadata)
Inbox(metadata)
_QUICK = {"kafka-python": {"session_timeout_ms": 6000}, "confluent-kafka": {"session.timeout.ms": 6000}}


def make(url: str, servers: str, topic: str, group: str, client: Any) -> Consumer:
    """Make a consumer with two subscribers, of an outbox of its own."""
    own = MetaData()
    outbox, inbox = Outbox(own), Inbox(own)
    options: Any = _QUICK[client]
    pause_seconds = float(os.environ.get("ASYNCFLOW_TEST_PAUSE", "0.005"))
    consumer = Consumer(create_engine(url), outbox, inbox, servers, group=group, client=client, client_options=options)

    @consumer.subscribe("coupon.granted", topic=topic)
    def first(session: Session, number: int) -> None:
        session.execute(insert(effects).values(number=number, by="first"))
        time.sleep(pause_seconds)  # so that a signal comes in the middle of a batch

    @consumer.subscribe("coupon.granted", topic=topic)
    def second(session: Session, number: int) -> None:
        session.execute(insert(effects).values(number=number, by="second"))

    return consumer


def consumer() -> Consumer:
    """Make it of the environment, for the command."""
    return make(*os.environ["ASYNCFLOW_TEST_CONSUMER"].split(" "))


if __name__ == "__main__":
    make(*sys.argv[1:]).run()

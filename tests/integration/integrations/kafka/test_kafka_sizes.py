"""What the door takes by default, both clients and a broker with their own defaults take as well."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, create_engine

from asyncflow import Outbox, Scheduler
from asyncflow.errors import OptionError, PayloadTooLargeError
from asyncflow.outbox.message import MAX_MESSAGE_BYTES, RECORD_OVERHEAD_BYTES
from asyncflow.outbox.status import Status
from asyncflow.scheduler import Publisher
from tests.integration.integrations.kafka.adapters import Adapter
from tests.integration.integrations.kafka.conftest import MakePublisher
from tests.support.databases import open_engine

pytestmark = pytest.mark.timeout(240)

LONGEST_TYPE = "😀" * 100
HEADERS = {"tenant": "é" * 300, "x" * 255: "1", **{f"h{number}": "" for number in range(400)}}


def an_outbox(directory: Path, topic: str) -> tuple[Outbox, Engine]:
    metadata = MetaData()
    outbox = Outbox(metadata)
    outbox.message(LONGEST_TYPE, topic=topic)
    engine = open_engine(create_engine(f"sqlite:///{directory / 'sizes.db'}").url)
    metadata.create_all(engine)
    return outbox, engine


def test_a_message_at_the_limit_is_sent_and_one_byte_more_is_refused_at_the_door(
    make_publisher: MakePublisher, kafka: str, topic: str, tmp_path: Path
) -> None:
    outbox, engine = an_outbox(tmp_path, topic)
    variants: list[dict[str, Any]] = [
        {},
        {"key": "ключ" * 60},
        {"headers": HEADERS},
        {"key": "k" * 255, "headers": HEADERS, "content_type": "漢" * 255},
    ]
    for variant in variants:
        with engine.begin() as connection:
            largest = _largest(outbox, connection, variant)
            outbox.publish(connection, LONGEST_TYPE, os.urandom(largest), **variant)
            with pytest.raises(PayloadTooLargeError, match=f"the limit is {MAX_MESSAGE_BYTES}"):
                outbox.publish(connection, LONGEST_TYPE, os.urandom(largest + 1), **variant)
    drain(engine, outbox, make_publisher(kafka))
    with engine.connect() as connection:
        rows = connection.execute(outbox.tasks.select()).all()
    assert [(row.status, row.schedule_log) for row in rows] == [(int(Status.SUCCESS), None)] * len(variants)


def drain(engine: Engine, outbox: Outbox, publisher: Publisher) -> None:
    scheduler = Scheduler(engine, outbox, {"kafka": publisher})
    try:
        scheduler.drain()
    finally:
        scheduler.stop()


def _largest(outbox: Outbox, connection: Connection, variant: dict[str, Any]) -> int:
    """Find, by the error's own count, how large a payload fits with these key and headers."""
    with pytest.raises(PayloadTooLargeError) as refused:
        outbox.publish(connection, LONGEST_TYPE, bytes(MAX_MESSAGE_BYTES + 1), **variant)
    size = int(str(refused.value).split(" bytes")[0].split()[-1])
    return 2 * MAX_MESSAGE_BYTES + 1 - size


def test_our_own_headers_are_not_counted(make_publisher: MakePublisher, kafka: str, topic: str, tmp_path: Path) -> None:
    outbox, engine = an_outbox(tmp_path, topic)
    with engine.begin() as connection:
        variants: list[dict[str, Any]] = [{}, {"content_type": "x" * 255}]
        for variant in variants:
            assert _largest(outbox, connection, variant) == MAX_MESSAGE_BYTES


def test_a_publisher_tells_its_client_s_limit(make_publisher: MakePublisher, adapter: Adapter, kafka: str) -> None:
    assert make_publisher(kafka).max_record_bytes >= 1_000_000
    assert make_publisher(kafka, client_options={adapter.max_record_bytes: 5_000}).max_record_bytes == 5_000


def test_a_scheduler_whose_publisher_takes_less_than_the_door_is_refused(
    make_publisher: MakePublisher, adapter: Adapter, kafka: str, topic: str, tmp_path: Path
) -> None:
    outbox, engine = an_outbox(tmp_path, topic)
    small = {adapter.max_record_bytes: 500_000}
    for begin in ("start", "drain"):
        scheduler = Scheduler(engine, outbox, {"kafka": make_publisher(kafka, client_options=small)})
        fitting = 500_000 - RECORD_OVERHEAD_BYTES
        text = rf"max_message_bytes is {MAX_MESSAGE_BYTES}, .*'kafka' takes .*500000.*max_message_bytes={fitting}\)"
        with pytest.raises(OptionError, match=text):
            getattr(scheduler, begin)()
        scheduler.stop()

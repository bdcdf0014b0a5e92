from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine

from asyncflow import Status
from asyncflow.errors import UnroutedDestinationError
from asyncflow.events import TaskFailed, UnknownTypeSeen
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import ids_of, values_of
from tests.integration.scheduler.writing import alter, publish, publish_foreign, publish_many, statements, texts
from tests.support.application import Application
from tests.support.databases import everywhere


@everywhere
def test_committed_messages_are_published_once_and_settled(application: Application, schedule: Schedule) -> None:
    ids = publish_many(application, 250)
    publisher = MemoryPublisher()
    scheduler = schedule(publisher, round_size=60)
    scheduler.drain()
    scheduler.drain()
    assert sorted(ids_of(publisher)) == sorted(texts(ids))
    assert set(application.statuses()) == {Status.SUCCESS}


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00\xff\xfe\x80'\"\\%s", "Grüße 🙂".encode("utf-16"), bytes(range(256)) * 300],
    ids=["empty", "hostile", "utf-16", "long"],
)
def test_bytes_arrive_byte_by_byte(payload: bytes, application: Application, schedule: Schedule) -> None:
    publish(application, payload, content_type="application/x-own")
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    (record,) = publisher.records
    assert record.value == payload
    assert dict(record.headers)["content-type"] == b"application/x-own"


@everywhere
def test_json_keys_and_headers_arrive_in_any_script(application: Application, schedule: Schedule) -> None:
    payload = {"name": "Grüße 用户 🙂", "nul": "\0", "quote": "'\"\\%s", "none": None, "big": 2**53}
    task_id = publish(
        application, payload, key="Kontö-用户-🙂", headers={"traceparent": "00-ab-cd-01", "wer": "用户 🙂"}
    )
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    (record,) = publisher.records
    assert (record.topic, record.key) == ("user.registered", "Kontö-用户-🙂".encode())
    assert orjson.loads(record.value) == payload
    assert list(record.headers) == [
        ("message-id", str(task_id).encode()),
        ("message-type", b"user.registered"),
        ("content-type", b"application/json"),
        ("traceparent", b"00-ab-cd-01"),
        ("wer", "用户 🙂".encode()),
    ]


@everywhere
def test_a_delayed_message_waits(application: Application, schedule: Schedule) -> None:
    publish(application, delay_seconds=60)
    publisher = MemoryPublisher()
    scheduler = schedule(publisher)
    scheduler.drain()
    assert publisher.records == []
    application.make_due()
    scheduler.drain()
    assert len(publisher.records) == 1


@everywhere
def test_priority_goes_ahead_within_a_shard(engine: Engine, made: list[Any]) -> None:
    application = Application(engine, shard_count=1)
    for number, priority in enumerate((0, 100, 10)):
        publish(application, {"n": number}, priority=priority)
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher))
    made[0].drain()
    assert values_of(publisher) == [b'{"n":1}', b'{"n":2}', b'{"n":0}']


def test_each_type_goes_to_its_topic_and_destination(application: Application, schedule: Schedule) -> None:
    application.outbox.message("coupon", destination="cluster_b", topic="coupons.v1")
    publish(application)
    publish(application, task_type="coupon")
    one, other = MemoryPublisher(), MemoryPublisher()
    schedule({"kafka": one, "cluster_b": other}).drain()
    assert [record.topic for record in one.records] == ["user.registered"]
    assert [record.topic for record in other.records] == ["coupons.v1"]


def test_an_unknown_type_is_left_alone_and_told_once(application: Application, schedule: Schedule) -> None:
    publish_foreign(application.engine, "from.tomorrow")
    publish_foreign(application.engine, "from.tomorrow")
    known = publish(application)
    before = [row for row in application.rows() if row.task_type == "from.tomorrow"]
    publisher, other = MemoryPublisher(), MemoryPublisher()
    scheduler = schedule({"kafka": publisher, "other": other})
    for _ in range(3):
        scheduler.drain()
    assert ids_of(publisher) == [str(known)]
    assert [row for row in application.rows() if row.task_type == "from.tomorrow"] == before
    assert application.signals.of(UnknownTypeSeen) == [UnknownTypeSeen("from.tomorrow")]


def test_a_type_declared_after_the_scheduler_was_made_is_delivered(
    application: Application, schedule: Schedule
) -> None:
    publisher = MemoryPublisher()
    scheduler = schedule(publisher)
    scheduler.drain()
    application.outbox.message("late")
    publish(application, task_type="late")
    scheduler.drain()
    assert [record.topic for record in publisher.records] == ["late"]


def test_a_type_declared_late_for_nobody_keeps_the_scheduler_from_starting(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    scheduler = sqlite_schedule()
    sqlite_application.outbox.message("late", destination="nowhere")
    with pytest.raises(UnroutedDestinationError, match=r"'late' goes to 'nowhere'.*given: 'kafka'"):
        scheduler.start()


@everywhere
def test_rows_that_do_not_wait_are_not_touched(application: Application, schedule: Schedule) -> None:
    for status in (Status.PROCESSING, Status.SUCCESS, Status.FAILED, Status.CANCELLED):
        alter(
            application,
            "status = :status",
            "id = :id",
            status=int(status),
            id=stored(application, publish(application)),
        )
    before = application.rows()
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    assert publisher.records == []
    assert application.rows() == before


def test_a_spoilt_row_fails_alone(application: Application, schedule: Schedule) -> None:
    spoilt = publish(application)
    alter(application, "headers = 'no json'", "id = :id", id=stored(application, spoilt))
    publish_many(application, 5)
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    assert len(publisher.records) == 5
    (failed,) = application.signals.of(TaskFailed)
    assert failed.task_id == spoilt
    assert "headers" in failed.error


def test_an_idle_relay_only_reads(application: Application, schedule: Schedule) -> None:
    scheduler = schedule()
    scheduler.drain()
    scheduler.ownership.acquire()
    with statements(application.engine) as sent:
        for _ in range(5):
            scheduler.lookout.disturb()  # on a busy machine it would rest by now, and ask for nothing
            assert scheduler.relays[0].step() > 0
    assert all(statement.lstrip().upper().startswith(("SELECT", "WITH")) for statement in sent)
    assert 1 <= len(sent) <= 5  # it may rest as soon as it has found nothing for a while


def test_a_destination_without_a_publisher_is_refused(sqlite_application: Application) -> None:
    sqlite_application.outbox.message("coupon", destination="cluster_b")
    with pytest.raises(UnroutedDestinationError, match="cluster_b"):
        sqlite_application.scheduler(MemoryPublisher())


def stored(application: Application, task_id: uuid.UUID) -> Any:
    """Return the id as the database stores it, for statements written by hand."""
    return task_id if application.engine.dialect.name == "postgresql" else task_id.bytes

"""Messages that travel encrypted over Apache Kafka: subscribers get them in the clear, and no broker does."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer as RawConsumer
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from asyncflow import Message, Status, TaskContext
from asyncflow.integrations.encryption import AesGcm, make_key
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.scheduler import DeadLetters
from tests.integration.integrations.kafka.consuming.messages import LONG_SECONDS, make_topic, publish
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually
from tools.services import load

SECRET = "no-broker-may-hold-this"
LONG = 120.0


@pytest.fixture(scope="module")
def servers() -> str:
    found = load().kafka_bootstrap
    assert found is not None, "no Kafka: `make services` brings one up"
    return found


def raw_values(servers: str, topic: str, count: int) -> list[bytes]:
    """Return what the broker keeps."""
    consumer = RawConsumer({"bootstrap.servers": servers, "group.id": f"raw-{topic}", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[bytes] = []
    try:
        while len(found) < count:
            message = consumer.poll(LONG_SECONDS)
            assert message is not None
            found.append(message.value() or b"")
    finally:
        consumer.close()
    return found


@pytest.mark.parametrize("client", ["kafka-python", "confluent-kafka"])
def test_subscribers_get_in_the_clear_what_the_broker_has_encrypted(engine: Engine, servers: str, client: Any) -> None:
    topic = make_topic(servers)
    keys: dict[str, bytes | str] = {"k1": make_key(), "t1": make_key()}
    cipher = AesGcm(keys, lambda facts: facts.headers.get("tenant", "k1"), messages="end_to_end")
    application = Application(engine, encryption=cipher)
    application.outbox.message("coupon.granted", topic=topic)
    seen: list[Any] = []
    consumer = Consumer(engine, application.outbox, application.inbox, servers, group=f"g-{topic}", client=client)

    @consumer.subscribe("coupon.granted", topic=topic, max_retries=0)
    def coupons(session: Session, ctx: TaskContext, account_no: str) -> None:
        seen.append((account_no, ctx.key, ctx.headers.get("own"), "payload-key-id" in ctx.headers))
        if account_no == f"{SECRET}-poison":
            raise LookupError("never")

    with application.session() as session, session.begin():
        given = [
            Message({"account_no": SECRET}, key="A1", headers={"own": "x"}),
            Message({"account_no": f"{SECRET}-poison"}, key="A2"),
            Message({"account_no": SECRET}, key="A3", headers={"tenant": "t1"}),
        ]
        application.outbox.publish_many(session, "coupon.granted", given)
    publisher = ConfluentKafkaPublisher(servers)
    scheduler = application.scheduler(publisher)
    scheduler.drain()
    scheduler.stop(timeout_seconds=LONG)
    assert application.statuses() == [Status.SUCCESS] * 3
    assert not any(SECRET.encode() in value for value in raw_values(servers, topic, 3))
    del keys["t1"]
    with consumer:
        eventually(lambda: application.statuses() == [Status.SUCCESS] * 3 + [Status.FAILED] * 2, LONG)
    assert sorted(seen, key=str) == [(SECRET, "A1", "x", False), (f"{SECRET}-poison", "A2", None, False)]
    letters = DeadLetters(engine, application.outbox)
    dead = [letters.inspect(letter.task_id) for letter in letters.list().letters]
    (poison,) = (state for state in dead if "LookupError" in state.log)
    assert SECRET.encode() in (poison.payload or b"")
    assert poison.encrypted is not None
    (lost,) = (state for state in dead if "the key 't1' is gone" in state.log)
    assert SECRET.encode() not in (lost.payload or b"")
    assert not any(SECRET.encode() in (row.payload or b"") for row in application.rows())


def test_a_dead_letter_whose_key_is_gone_is_kept_without_its_payload_and_holds_nobody_up(
    engine: Engine, servers: str
) -> None:
    topic = make_topic(servers, partitions=1)
    keys: dict[str, bytes | str] = {"k1": make_key()}
    cipher = AesGcm(keys, lambda facts: facts.headers.get("tenant", "k1"))
    application = Application(engine, encryption=cipher)
    seen: list[str] = []
    consumer = Consumer(engine, application.outbox, application.inbox, servers, group=f"g-{topic}")

    @consumer.subscribe(topic, max_retries=0)
    def coupons(session: Session, account_no: str) -> None:
        seen.append(account_no)
        if account_no == SECRET:
            raise LookupError("never")

    publish(servers, topic, [{"account_no": SECRET}, {"account_no": "next"}])  # with a tenant that has no key
    with consumer:
        eventually(lambda: seen == [SECRET, "next"], LONG)
    (row,) = application.rows()
    assert (row.status, bytes(row.payload)) == (Status.FAILED, b"{}")
    assert "the payload is left out: the key 'acme' is gone" in row.schedule_log

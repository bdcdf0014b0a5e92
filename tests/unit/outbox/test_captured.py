"""Captured types: rows that are done as they are written, and whose headers are all that a relay would have sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from sqlalchemy import MetaData, create_engine, select

from asyncflow import Outbox
from asyncflow.errors import InvalidDelayError, InvalidPriorityError, OptionError
from asyncflow.outbox.declarations.cloud_events import CloudEvents
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import Task
from asyncflow.scheduler.configuration.type_config import TypeConfig
from asyncflow.scheduler.publishing.envelope import Envelope
from asyncflow.scheduler.publishing.publisher import Record

CASES: dict[str, dict[str, Any]] = {
    "plain": {"payload": {"n": 1}, "key": "o-1"},
    "no-key": {"payload": [1]},
    "bytes": {"payload": b"\x00\xff", "key": "schlüssel"},
    "headers": {"payload": 1, "headers": {"tenant": "löwe", "trace": "t"}},
    "content-type": {"payload": b"<a/>", "content_type": "application/xml"},
}


def outbox_of(**options: Any) -> Outbox:
    outbox = Outbox(MetaData())
    outbox.message("order.paid", captured=True, **options)
    return outbox


def published(outbox: Outbox, **message: Any) -> Any:
    engine = create_engine("sqlite://")
    outbox.tasks.metadata.create_all(engine)
    with engine.begin() as connection:
        outbox.publish(connection, "order.paid", **message)
        return connection.execute(select(outbox.tasks)).one()


@pytest.mark.parametrize("message", CASES.values(), ids=CASES)
def test_a_captured_row_holds_the_headers_that_a_relay_would_send(message: dict[str, Any]) -> None:
    row = published(outbox_of(), **message)
    sent = Outbox(MetaData())
    relayed = published_by_a_relay(sent.message("order.paid"), published(sent, **message), row.id)
    assert orjson.loads(row.headers) == {name: value.decode() for name, value in relayed.headers}
    assert (row.task_type, row.payload) == (relayed.topic, relayed.value)
    assert (row.task_key and row.task_key.encode()) == relayed.key


def published_by_a_relay(kind: MessageType, row: Any, its_id: Any) -> Record:
    """Return the record that a relay makes of a row, with the id of another."""
    task = Task(its_id.bytes, row.task_type, row.shard, row.task_key, row.headers, row.payload, 0, 10)
    return Envelope(kind).wrap(task, row.payload)


def test_a_captured_row_is_done_as_it_is_written() -> None:
    assert published(outbox_of(), payload=1).status == Status.SUCCESS


def test_a_commit_of_captured_rows_wakes_nobody() -> None:
    outbox, rung = outbox_of(), list[Any]()
    outbox.bell.connect(rung.append)
    published(outbox, payload=1)
    assert rung == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("topic", "orders"),
        ("ordered", True),
        ("rate_limit_per_second", 5.0),
        ("limit", 5),
        ("enabled", False),
        ("cloudevents", CloudEvents(source="/shop")),
        ("max_retries", 3),
        ("retry_interval_seconds", 2.0),
        ("max_retry_interval_seconds", 20.0),
        ("retry_factor", 3.0),
        ("retry_jitter", 0.5),
        ("when_exhausted", "skip"),
        ("captured", "yes"),
    ],
)
def test_what_a_relay_would_have_to_do_is_refused_of_a_captured_type(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"^{option} .*give|^{option} .*leave"):
        Outbox(MetaData()).message("order.paid", **{"captured": True, option: value})


def test_a_captured_type_has_no_builder() -> None:
    kind = outbox_of().task_types["order.paid"]
    with pytest.raises(OptionError, match=r"the builder of 'order.paid'.*publish the payload itself"):
        kind(lambda session, tasks: [])


def test_a_captured_message_neither_waits_nor_overtakes() -> None:
    with pytest.raises(InvalidDelayError, match=r"delay_seconds is 5, but 'order.paid' is captured; leave it out"):
        published(outbox_of(), payload=1, delay_seconds=5)
    with pytest.raises(InvalidPriorityError, match=r"priority is 5, but 'order.paid' is captured; leave it out"):
        published(outbox_of(), payload=1, priority=5)


class Reversed:
    """Encrypt by turning bytes round."""

    def encrypt(self, payload: bytes, facts: Any) -> Any:
        from asyncflow.outbox.encryption.hook import EncryptedPayload

        return EncryptedPayload(payload[::-1], "reversed", "k1")

    def decrypt(self, encrypted: Any, facts: Any) -> bytes:
        return bytes(encrypted.content[::-1])


def test_a_captured_payload_is_encrypted_to_its_end_or_not_at_all() -> None:
    outbox = Outbox(MetaData(), encryption=Reversed())
    with pytest.raises(OptionError, match=r"encryption of 'order.paid' is 'at_rest', and it is captured"):
        outbox.message("order.paid", captured=True)
    outbox.message("order.paid", captured=True, encryption="end_to_end")
    row = published(outbox, payload=b"abc")
    assert row.payload == b"cba"
    assert "reversed" in orjson.loads(row.headers).values()


def test_outcomes_are_told_by_no_captured_type() -> None:
    outbox = outbox_of()
    outbox.task("price", outcomes_to="order.paid")
    with pytest.raises(OptionError, match=r"outcomes_to of 'price' is 'order.paid', which is captured"):
        outbox.told_to(outbox.handler_types["price"])


def test_what_is_asked_of_a_captured_type_while_it_runs_is_refused_as_well() -> None:
    kind = outbox_of().task_types["order.paid"]
    cases: list[dict[str, Any]] = [{"enabled": False}, {"limit": 5}, {"max_retries": 3}]
    for options in cases:
        with pytest.raises(OptionError, match=r"of 'order.paid' is .* and it is captured"):
            TypeConfig(task_type="order.paid", **options).over(kind)

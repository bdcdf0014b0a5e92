"""What a consumer reads of a message of NATS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Inbox, Outbox
from asyncflow.errors import OptionError
from asyncflow.integrations.nats import NatsSettings
from asyncflow.integrations.nats.consuming import NatsConsumer
from asyncflow.integrations.nats.consuming.deliveries import delivery_of
from asyncflow.integrations.nats.messages import NatsMessage, NatsMessages
from asyncflow.scheduler.publishing.publisher import Record


def message(headers: dict[str, str] | None, data: bytes = b"{}") -> Any:
    place = SimpleNamespace(sequence=SimpleNamespace(stream=7))
    reply = "$JS.ACK.coupons.group.1.7.3.1700000000123456789.0"
    return SimpleNamespace(headers=headers, data=data, metadata=place, reply=reply)


@pytest.mark.parametrize("key", ["Ä 1%".encode(), None])
def test_what_the_publisher_wrote_is_read_as_it_was(key: bytes | None) -> None:
    headers = [("message-id", b"42"), ("message-type", b"coupon.granted"), ("raw", b" \xff% "), ("a b", b"")]
    made = NatsMessages(NatsSettings()).make(Record("coupons", key, b"{}", headers))
    assert isinstance(made, NatsMessage)
    read = delivery_of("coupons", message(made.headers, made.payload))
    assert (read.topic, read.key, read.value, dict(read.headers)) == ("coupons", key, b"{}", dict(headers))
    assert (read.id, read.task_type, read.place) == ("42", "coupon.granted", "coupons/7/1700000000123456789")


def test_a_message_of_others_is_told_by_its_deduplication_id_or_its_place() -> None:
    assert delivery_of("coupons", message({"Nats-Msg-Id": "42"})).id == "42"
    plain = delivery_of("coupons", message(None))
    assert (plain.id, plain.task_type, plain.key) == ("coupons/7/1700000000123456789", "coupons", None)


@pytest.mark.parametrize(
    ("wrong", "told"), [({"group": ""}, "group"), ({"dead_after_seconds": 0}, "dead_after_seconds is 0")]
)
def test_what_does_not_fit_is_refused_where_the_consumer_is_made(wrong: dict[str, Any], told: str) -> None:
    pytest.importorskip("nats")
    metadata = MetaData()
    given: tuple[Any, Any, Any] = (create_engine("sqlite://"), Outbox(metadata), Inbox(metadata))
    options: dict[str, Any] = {"group": "coupons", **wrong}
    with pytest.raises(OptionError, match=told):
        NatsConsumer(*given, "nats://localhost", **options)
    with pytest.raises(OptionError, match="servers"):
        NatsConsumer(*given, "http://localhost", group="coupons")


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.coupons.group.1.7.3.1700000000123456789.0",
        "$JS.ACK._.account.coupons.group.1.7.3.1700000000123456789.0",
        "$JS.ACK.hub.account.coupons.group.1.7.3.1700000000123456789.0.token",
    ],
)
def test_a_message_of_a_stream_that_was_made_anew_is_another_than_the_one_of_its_sequence_before(reply: str) -> None:
    nats = pytest.importorskip("nats.aio.msg")

    def told(subject: str) -> Any:
        return delivery_of("coupons", nats.Msg(_client=None, subject="coupons", reply=subject, data=b"{}"))

    assert told(reply).id == "coupons/7/1700000000123456789"
    assert told(reply.replace("6789.", "6790.")).id == "coupons/7/1700000000123456790"
    assert told(reply.replace(".1.7.3.", ".2.7.9.")).id == told(reply).id

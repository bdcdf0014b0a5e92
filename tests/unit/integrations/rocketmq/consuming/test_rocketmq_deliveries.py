"""What a consumer reads of a message of RocketMQ, and what it is told."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Inbox, Outbox
from asyncflow.errors import OptionError
from asyncflow.integrations.rocketmq import RocketMQSettings, extras
from asyncflow.integrations.rocketmq.consuming import RocketMQConsumer
from asyncflow.integrations.rocketmq.consuming.deliveries import delivery_of
from asyncflow.integrations.rocketmq.consuming.receipts import Receipt, Receipts
from asyncflow.integrations.rocketmq.messages import GroupedMessage, RocketMQMessages
from asyncflow.scheduler.publishing.publisher import Record


@pytest.fixture
def client() -> extras.Client:
    """Give the client; to import it by itself would have it open its log file."""
    if find_spec("rocketmq") is None:
        pytest.skip("rocketmq-python-client is not installed")
    return extras.client()


def received(client: extras.Client, record: Record) -> Any:
    made = RocketMQMessages(client.protocol, RocketMQSettings()).make(record)
    assert isinstance(made, GroupedMessage)
    message = made.request.messages[0]
    message.system_properties.receipt_handle = "receipt"
    return message


def test_what_the_publisher_wrote_comes_back(client: extras.Client) -> None:
    headers = [("message-id", b"id-1"), ("KEYS", b"mine"), ("тип", b"\xff"), ("no", b"")]
    for key, value in ((b"A\n1", b""), (None, b"body")):
        delivery = delivery_of(client, received(client, Record("users", key, value, headers)))
        assert (delivery.topic, delivery.id, delivery.value) == ("users", "id-1", value)
        assert delivery.headers == dict(headers)
        assert delivery.key == key
        assert delivery.handle.handle == "receipt"


def test_a_message_of_others_has_its_group_for_a_key_and_is_unpacked(client: extras.Client) -> None:
    message = received(client, Record("users", b"A1", gzip.compress(b"large"), []))
    del message.user_properties["message-key"]
    message.system_properties.body_encoding = client.protocol.Encoding.GZIP
    delivery = delivery_of(client, message)
    assert (delivery.key, delivery.value) == (b"A1", b"large")
    assert delivery.place == f"users/{message.system_properties.message_id}"


@pytest.mark.parametrize("body", [b"plain", gzip.compress(b"large", mtime=0)[:-9], b"\x1f\x8b broken", b""])
def test_a_body_that_cannot_be_unpacked_is_handed_on_as_it_came_and_told(
    body: bytes, client: extras.Client, caplog: pytest.LogCaptureFixture
) -> None:
    message = received(client, Record("users", b"A1", b"body", [("message-id", b"id-1")]))
    message.body = body
    message.system_properties.body_encoding = client.protocol.Encoding.GZIP
    delivery = delivery_of(client, message)
    assert (delivery.key, delivery.id, delivery.value) == (b"A1", "id-1", body)
    named = f"'users' {message.system_properties.message_id!r}"
    assert f"A body that is said to be packed cannot be unpacked, and is handed on: {named}" in caplog.text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"group": ""}, "group"),
        ({"dead_after_seconds": 5}, "dead_after_seconds is 5; give 10 at the least"),
        ({"dead_after_seconds": "30"}, "dead_after_seconds is '30'"),
    ],
)
def test_an_option_at_fault_is_named(options: dict[str, Any], why: str) -> None:
    metadata = MetaData()
    given = (create_engine("sqlite://"), Outbox(metadata), Inbox(metadata))
    with pytest.raises(OptionError, match=why):
        RocketMQConsumer(*given, "localhost:8081", **{"group": "coupons", **options})


def test_a_message_that_came_twice_is_held_once_by_both_receipts() -> None:
    receipts = Receipts()
    first, second, other = (Receipt("users", name, handle) for name, handle in (("a", "1"), ("a", "2"), ("b", "3")))
    assert [receipts.add(one) for one in (first, second, other)] == [True, False, True]
    receipts.remove(first)  # it was kept too late
    assert not receipts.add(Receipt("users", "a", "4"))
    assert [one.handle for one in receipts.release(first)] == ["2", "4"]
    assert receipts.all() == [other]
    assert receipts.release(first) == []


def test_a_message_that_was_released_is_not_held_by_a_receipt_that_is_removed_afterwards() -> None:
    receipts = Receipts()
    first = Receipt("users", "a", "1")
    receipts.add(first)
    assert receipts.release(first) == [first]  # it is acknowledged, as it is found to be kept too late
    receipts.remove(first)
    assert receipts.add(Receipt("users", "a", "2"))  # the acknowledgement came too late as well: it comes again

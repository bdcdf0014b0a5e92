"""From a record to a message: what AMQP has a place for is there, and what it has none for is refused."""

from __future__ import annotations

import pytest

from asyncflow.integrations.rabbitmq import RabbitMQSettings
from asyncflow.integrations.rabbitmq.messages import AmqpMessage, MessageMaker
from asyncflow.scheduler.publishing.publisher import Record, Rejected

pika = pytest.importorskip("pika")


def made(record: Record, **settings: object) -> AmqpMessage | Rejected:
    return MessageMaker(pika, RabbitMQSettings(**settings)).make(record)  # type: ignore[arg-type]


def test_the_topic_is_the_exchange_and_the_key_the_routing_key() -> None:
    message = made(Record("users", "ключ".encode(), b"v", [("message-id", b"1"), ("t", b"x")]))
    assert isinstance(message, AmqpMessage)
    assert message[:3] == ("users", "ключ", b"v")
    assert (message.properties.message_id, message.properties.delivery_mode) == ("1", 2)
    assert message.properties.headers == {"t": "x"}


def test_with_an_exchange_the_topic_is_the_routing_key_and_the_key_is_kept() -> None:
    message = made(Record("users", b"k", b"v", []), exchange="all")
    assert isinstance(message, AmqpMessage)
    assert (message[:2], message.properties.headers) == (("all", "users"), {"message-key": "k"})


def test_a_header_that_is_no_text_stays_bytes_and_a_content_type_without_room_stays_a_header() -> None:
    long = ("漢" * 255).encode()
    message = made(Record("t", None, b"", [("raw", b"\xff"), ("content-type", long)]))
    assert isinstance(message, AmqpMessage)
    assert message.properties.headers == {"raw": b"\xff", "content-type": long.decode()}
    assert message.properties.content_type is None


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record("t", b"\xff", b"", []), "the key is no UTF-8"),
        (Record("t", b"x" * 256, b"", []), "the routing key is too long: it has 256 bytes; AMQP takes 255"),
        (Record("x" * 256, b"", b"", []), "the exchange is too long"),
        (Record("t", b"", b"", [("x" * 256, b"")]), "the name of a header is too long"),
        (Record("t", b"", b"x" * 11, []), "the message has 11 bytes; max_message_bytes is 10"),
    ],
)
def test_what_amqp_cannot_carry_is_rejected_with_the_reason(record: Record, why: str) -> None:
    outcome = made(record, max_message_bytes=10)
    assert isinstance(outcome, Rejected)
    assert outcome.error.startswith(why)

"""What a consumer reads of a message of AMQP."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow import Inbox, Outbox
from asyncflow.errors import OptionError
from asyncflow.integrations.rabbitmq import RabbitMQSettings
from asyncflow.integrations.rabbitmq.consuming import RabbitMQConsumer
from asyncflow.integrations.rabbitmq.consuming.deliveries import AmqpDeliveries
from asyncflow.integrations.rabbitmq.messages import AmqpMessage, MessageMaker
from asyncflow.scheduler.publishing.publisher import Record

pika = pytest.importorskip("pika")


class Method:
    def __init__(self, exchange: str, routing_key: str) -> None:
        self.exchange, self.routing_key, self.delivery_tag = exchange, routing_key, 7


@pytest.mark.parametrize("settings", [RabbitMQSettings(), RabbitMQSettings(exchange="all")])
@pytest.mark.parametrize("key", [b"A1", None])
def test_what_the_publisher_wrote_is_read_as_it_was(settings: RabbitMQSettings, key: bytes | None) -> None:
    headers = [("message-id", b"42"), ("message-type", b"coupon.granted"), ("tenant", b"acme"), ("raw", b"\xff")]
    made = MessageMaker(pika, settings).make(Record("coupons", key, b"{}", headers))
    assert isinstance(made, AmqpMessage)
    method = Method(made.exchange, made.routing_key)
    read = AmqpDeliveries(settings).made("my queue", method, made.properties, made.body)
    assert (read.topic, read.key, read.value, dict(read.headers)) == ("my queue", key, b"{}", dict(headers))
    assert (read.id, read.task_type, read.handle) == ("42", "coupon.granted", 7)


def test_a_message_of_others_is_of_the_type_of_its_queue_and_each_delivery_is_another() -> None:
    given: Any = ("coupons", Method("", "coupons"), pika.BasicProperties(headers={"count": 3}), b"{}")
    one, other = (AmqpDeliveries(RabbitMQSettings()).made(*given) for _ in range(2))
    assert (one.task_type, one.key, dict(one.headers)) == ("coupons", None, {"count": b"3"})
    assert one.id.startswith("coupons/")
    assert one.id != other.id


def test_servers_that_are_none_are_refused_where_the_consumer_is_made() -> None:
    from sqlalchemy import MetaData, create_engine

    metadata = MetaData()
    with pytest.raises(OptionError, match="servers"):
        RabbitMQConsumer(create_engine("sqlite://"), Outbox(metadata), Inbox(metadata), "http://localhost")


def test_a_header_whose_name_is_no_utf_8_has_one_that_can_be_kept() -> None:
    properties = pika.BasicProperties(headers={b"na\xefve": "yes"})
    read = AmqpDeliveries(RabbitMQSettings()).made("coupons", Method("", "coupons"), properties, b"{}")
    assert dict(read.headers) == {"na\\xefve": b"yes"}

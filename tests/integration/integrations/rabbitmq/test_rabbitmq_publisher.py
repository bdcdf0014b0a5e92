"""The publisher to RabbitMQ, on the real broker: the suite of publishers, and what is RabbitMQ's own."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.scheduler.publishing.publisher import SENT, Record, Rejected, Retry, Unavailable
from tests.support.own_publisher_suite import OwnPublisherSuite, a_record

pytestmark = pytest.mark.timeout(240)

Rabbit = Any  # which needs pika


class TestRabbitMQPublisher(OwnPublisherSuite):
    """All of it."""


def test_a_message_is_persistent_and_has_its_id_type_and_content_type_as_properties(broker: Rabbit) -> None:
    topic, publisher = broker.make_topic(queue_type="quorum"), broker.make_publisher()
    headers = [
        ("message-id", b"id-1"),
        ("message-type", b"user.registered"),
        ("content-type", b"text/plain"),
        ("t", b"1"),
    ]
    assert publisher.publish([Record(topic, b"A1001", b"body", headers)]) == [SENT]
    publisher.close()
    method, properties, body = broker.channel.basic_get(topic, auto_ack=True)
    assert (method.exchange, method.routing_key, body) == (topic, "A1001", b"body")
    told = (properties.delivery_mode, properties.message_id, properties.type, properties.content_type)
    assert told == (2, "id-1", "user.registered", "text/plain")
    assert properties.headers["t"] == "1"  # a quorum queue adds one of its own
    assert "message-id" not in properties.headers


@pytest.mark.parametrize("exchange", ["", "named"])
def test_with_one_exchange_the_topic_is_the_routing_key_and_the_key_a_header(broker: Rabbit, exchange: str) -> None:
    topic = broker.make_topic()
    if exchange:
        exchange = broker.make_exchange()
        broker.channel.queue_bind(topic, exchange, topic)
    publisher = broker.make_publisher(exchange=exchange)
    batch = [a_record(topic, 0), a_record(topic, 1, None), a_record("nowhere", 2)]
    outcomes = publisher.publish(batch)
    publisher.close()
    assert [type(outcome).__name__ for outcome in outcomes] == ["Sent", "Sent", "Retry"]
    assert [record[1:] for record in broker.stored(topic, 2)] == [record[1:] for record in batch[:2]]


def test_what_is_unroutable_costs_an_attempt_and_says_what_to_bind(broker: Rabbit) -> None:
    topic, publisher = broker.make_exchange(), broker.make_publisher()
    (outcome,) = publisher.publish([a_record(topic)])
    publisher.close()
    assert isinstance(outcome, Retry)
    assert f"no queue is bound to the exchange '{topic}' for the routing key 'k': bind one" in outcome.error


def test_an_exchange_that_is_missing_is_named_and_found_when_it_is_there(broker: Rabbit) -> None:
    topic, other, publisher = broker.make_topic(), broker.make_exchange(), broker.make_publisher()
    broker.channel.exchange_delete(other)
    batch = [a_record(topic, 0), a_record(other, 1), a_record(topic, 2)]
    for _ in range(2):
        sent, missing, sent_too = publisher.publish(batch)
        assert (sent, sent_too) == (SENT, SENT)
        assert isinstance(missing, Retry)
        assert f"404 NOT_FOUND: no exchange '{other}'" in missing.error
    broker.channel.exchange_declare(other, "topic", durable=True)
    broker.channel.queue_bind(topic, other, "#")
    assert publisher.publish(batch) == [SENT] * 3
    publisher.close()


def test_an_exchange_that_is_deleted_meanwhile_costs_its_own_messages_alone(broker: Rabbit) -> None:
    topic, other, publisher = broker.make_topic(), broker.make_topic(), broker.make_publisher()
    batch = [a_record([topic, other][number % 2], number) for number in range(10)]
    assert publisher.publish(batch) == [SENT] * 10
    broker.channel.exchange_delete(other)
    outcomes = publisher.publish(batch)
    publisher.close()
    assert [type(outcome).__name__ for outcome in outcomes] == ["Sent", "Retry"] * 5


def test_a_message_too_large_for_the_broker_alone_is_rejected_alone(broker: Rabbit) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(max_message_bytes=16 * 1024 * 1024)
    batch = [a_record(topic, number) for number in range(9)]
    batch[5] = batch[5]._replace(value=bytes(5_000_000))
    outcomes = publisher.publish(batch)
    publisher.close()
    if outcomes == [SENT] * 9:
        pytest.skip("this broker takes 5,000,000 bytes")
    assert isinstance(outcomes[5], Rejected)
    assert "406 PRECONDITION_FAILED: message size 5000000" in outcomes[5].error
    assert outcomes[:5] + outcomes[6:] == [SENT] * 8
    assert {record.value for record in broker.stored(topic, 8)} == {
        b"%d" % number for number in range(9) if number != 5
    }


def test_a_full_queue_costs_no_attempt_and_is_the_topic_s_trouble(broker: Rabbit) -> None:
    topic, publisher = broker.refusing_topic(), broker.make_publisher()
    (outcome,) = publisher.publish([a_record(topic)])
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert outcome.is_of_topic


def test_a_broker_that_blocks_publishers_is_given_up_soon_with_its_reason(broker: Rabbit) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(timeout_seconds=100.0)
    assert publisher.publish([a_record(topic)]) == [SENT]
    session = publisher._link._session
    low = SimpleNamespace(method=SimpleNamespace(reason="low on memory"))
    with broker.silent():
        session._loop.native.call_later(0.05, lambda: session._connection._hear_that_it_is_blocked(None, low))
        began = monotonic()
        assert publisher.publish([a_record(topic, 1)]) == [Unavailable("the broker blocks publishers: low on memory")]
        assert monotonic() - began < 60.0
    publisher.close()


def test_a_connection_that_was_idle_for_half_a_heartbeat_is_made_anew(broker: Rabbit) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(heartbeat_seconds=600)
    assert publisher.publish([a_record(topic, 0)]) == [SENT]
    first = publisher._link._session._connection
    assert publisher.publish([a_record(topic, 1)]) == [SENT]
    assert publisher._link._session._connection is first
    publisher._link._session._used_at -= 301
    assert publisher.publish([a_record(topic, 2)]) == [SENT]
    assert publisher._link._session._connection is not first
    assert first.is_lost
    publisher.close()


def test_wrong_credentials_cost_no_attempt_and_are_told(broker: Rabbit) -> None:
    from asyncflow.integrations.rabbitmq import RabbitMQPublisher

    topic = broker.make_topic()
    publisher = RabbitMQPublisher(broker.url.replace("guest:guest", "guest:wrong"))
    (outcome,) = publisher.publish([a_record(topic)])
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert "403" in outcome.error
    assert "wrong" not in outcome.error


def test_close_gives_every_socket_back_and_publishing_afterwards_is_unavailable(broker: Rabbit) -> None:
    topic = broker.make_topic()
    before = broker.own_sockets()
    publisher = broker.make_publisher()
    assert publisher.publish([a_record(topic)]) == [SENT]
    assert broker.own_sockets() > before
    publisher.close()
    assert broker.own_sockets() == before
    assert publisher.publish([a_record(topic)]) == [Unavailable("the publisher is closed")]

"""The publisher to Redis, on the real server: the suite of publishers, and what is Redis's own."""

from __future__ import annotations

import socket
from collections import defaultdict
from typing import Any

import pytest

from asyncflow.scheduler.publishing.publisher import SENT, Record, Rejected, Retry, Unavailable
from tests.support.own_publisher_suite import OwnPublisherSuite, a_record

pytestmark = pytest.mark.timeout(240)

Streams = Any  # which needs redis-py


class TestRedisPublisher(OwnPublisherSuite):
    """All of it."""


def test_an_entry_has_key_value_and_headers_as_fields(broker: Streams) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    assert publisher.publish([Record(topic, b"A1001", b"body", [("message-id", b"1"), ("value", b"own")])]) == [SENT]
    publisher.close()
    ((_, fields),) = broker.client.xrange(topic)
    assert fields == {b"key": b"A1001", b"header:message-id": b"1", b"header:value": b"own", b"value": b"body"}


def test_nothing_is_trimmed(broker: Streams) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    assert publisher.publish([a_record(topic, number) for number in range(3000)]) == [SENT] * 3000
    publisher.close()
    assert broker.client.xlen(topic) == 3000


def test_a_topic_may_be_spread_over_streams_by_key(broker: Streams) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(streams_per_topic=4)
    batch = [a_record(topic, number, b"k%d" % (number % 20)) for number in range(200)]
    assert publisher.publish(batch) == [SENT] * 200
    publisher.close()
    streams: defaultdict[bytes | None, set[int]] = defaultdict(set)
    for stream in range(4):
        for record in broker.stored(f"{topic}:{stream}", 0):
            streams[record.key].add(stream)
        broker.client.delete(f"{topic}:{stream}")
    assert all(len(where) == 1 for where in streams.values())
    assert len(streams) == 20
    assert len(set.union(*streams.values())) > 1


def test_a_stream_that_is_not_there_and_is_not_to_be_made_costs_an_attempt(broker: Streams) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(creates_streams=False)
    (outcome,) = publisher.publish([a_record(topic)])
    assert isinstance(outcome, Retry)
    assert "make it" in outcome.error
    broker.client.xadd(topic, {"value": "first"})
    assert publisher.publish([a_record(topic)]) == [SENT]
    publisher.close()


def test_a_key_of_another_kind_is_rejected_alone(broker: Streams) -> None:
    topic, other, publisher = broker.make_topic(), broker.make_topic(), broker.make_publisher()
    broker.client.set(other, "a string")
    sent, rejected, sent_too = publisher.publish([a_record(topic), a_record(other), a_record(topic)])
    publisher.close()
    assert (sent, sent_too) == (SENT, SENT)
    assert isinstance(rejected, Rejected)
    assert rejected.error.startswith("WRONGTYPE")


def test_replicas_that_are_wanted_and_not_there_cost_no_attempt(broker: Streams) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(timeout_seconds=1.0, wait_replicas=1)
    assert publisher.publish([a_record(topic)]) == [Unavailable("on 1 disk of its own and 0 of 1 replicas in time")]
    publisher.close()


def test_a_disk_that_is_waited_for_counts_or_is_told_to_be_unknown(broker: Streams) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(wait_disk=True)
    (outcome,) = publisher.publish([a_record(topic)])
    publisher.close()
    if outcome != SENT:
        assert isinstance(outcome, Unavailable)
        assert "WAITAOF" in outcome.error


def test_a_server_that_takes_no_write_costs_no_attempt(broker: Streams) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    assert publisher.publish([a_record(topic)]) == [SENT]
    kept = broker.client.config_get("min-replicas-to-write")["min-replicas-to-write"]
    broker.client.config_set("min-replicas-to-write", 1)
    try:
        (outcome,) = publisher.publish([a_record(topic)])
    finally:
        broker.client.config_set("min-replicas-to-write", kept)
    assert isinstance(outcome, Unavailable)
    assert outcome.error.startswith("NOREPLICAS")
    assert publisher.publish([a_record(topic)]) == [SENT]
    publisher.close()


def test_nobody_there_is_unavailable(broker: Streams) -> None:
    from asyncflow.integrations.redis import RedisPublisher

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        publisher = RedisPublisher(f"redis://127.0.0.1:{holder.getsockname()[1]}/0")
        (outcome,) = publisher.publish([a_record("t")])
        publisher.close()
    assert isinstance(outcome, Unavailable)

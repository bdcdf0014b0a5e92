"""The publisher to RocketMQ, on the real broker: the suite of publishers, and what is RocketMQ's own."""

from __future__ import annotations

import logging
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from asyncflow.scheduler.publishing.publisher import SENT, Record, Rejected, Unavailable
from tests.support.own_publisher_suite import OwnPublisherSuite, a_record

pytestmark = pytest.mark.timeout(240)

Rockets = Any  # which needs the client


class TestRocketMQPublisher(OwnPublisherSuite):
    """All of it."""


def test_a_message_has_its_id_as_key_and_its_key_as_message_group(broker: Rockets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    headers = [("message-id", b"id-1"), ("tenant", " é 100%\r\nX: 1 ".encode()), ("имя", b""), ("KEYS", b"mine")]
    assert publisher.publish([Record(topic, "ключ".encode(), b"body", headers)]) == [SENT]
    publisher.close()
    (stored,) = broker.raw(topic, 1)
    its = stored.properties
    assert (its["KEYS"], its["__SHARDINGKEY"], stored.body) == ("id-1", "ключ", b"body")
    assert {name: its[name] for name in ("message-id", "message-key", "tenant", "имя", "%4BEYS")} == {
        "message-id": "id-1",
        "message-key": "ключ",
        "tenant": "%20é 100%25%0D%0AX: 1%20",
        "имя": "%",
        "%4BEYS": "mine",
    }
    (record,) = broker.stored(topic, 1)
    assert (record.key, record.value, dict(record.headers)) == ("ключ".encode(), b"body", dict(headers))


def test_a_message_that_is_sent_again_has_the_same_id_for_rocketmq(broker: Rockets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    for _ in range(2):
        assert publisher.publish([a_record(topic)]) == [SENT]
    publisher.close()
    assert len({one.properties["UNIQ_KEY"] for one in broker.raw(topic, 2)}) == 1


def test_messages_of_a_key_are_in_one_queue_and_those_without_one_are_spread(broker: Rockets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    keyed = [a_record(topic, number, b"k%d" % (number % 5)) for number in range(50)]
    free = [a_record(topic, number, None) for number in range(100, 130)]
    assert publisher.publish([*keyed, *free]) == [SENT] * 80
    publisher.close()
    queues: dict[str | None, set[int]] = {}
    for one in broker.raw(topic, 80):
        queues.setdefault(one.properties.get("message-key"), set()).add(one.queue)
    assert {len(its) for key, its in queues.items() if key} == {1}
    assert len(queues[None]) == 2


def test_a_topic_that_is_not_there_costs_no_attempt_and_no_other_topic(broker: Rockets) -> None:
    topic, other, publisher = broker.make_topic(), broker.unroutable_topic(), broker.make_publisher()
    lacking, sent = publisher.publish([a_record(other), a_record(topic)])
    publisher.close()
    assert sent == SENT
    assert isinstance(lacking, Unavailable)
    assert lacking.is_of_topic
    assert "mqadmin updateTopic" in lacking.error


@pytest.mark.parametrize(("fifo", "kind"), [(True, "NORMAL"), (False, "FIFO")])
def test_a_topic_of_another_type_is_told_and_costs_no_attempt(broker: Rockets, fifo: bool, kind: str) -> None:
    topic, publisher = broker.make_topic(kind=kind), broker.make_publisher(fifo=fifo)
    (outcome,) = publisher.publish([a_record(topic)])
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert outcome.is_of_topic
    assert f"no {'FIFO' if fifo else 'NORMAL'} topic" in outcome.error
    assert f"RocketMQSettings(fifo={not fifo})" in outcome.error


def test_a_normal_topic_takes_messages_without_groups(broker: Rockets) -> None:
    topic, publisher = broker.make_topic(kind="NORMAL"), broker.make_publisher(fifo=False)
    assert not publisher.keeps_key_order
    batch = [a_record(topic, number) for number in range(20)]
    assert publisher.publish(batch) == [SENT] * 20
    publisher.close()
    assert sorted(broker.stored(topic, 20)) == sorted(batch)
    assert not any("__SHARDINGKEY" in one.properties for one in broker.raw(topic, 20))


def test_too_many_properties_are_rejected_alone(broker: Rockets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    large = Record(topic, None, b"", [("message-id", b"1"), ("own", b"x" * 20_000)])
    outcomes = publisher.publish([a_record(topic, 1), large, a_record(topic, 2)])
    publisher.close()
    assert (outcomes[0], outcomes[2]) == (SENT, SENT)
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].error.startswith("MESSAGE_PROPERTIES_TOO_LARGE")


@pytest.mark.parametrize("topic", ["", "a b", "a.b", "тема", "a" * 128])
def test_a_topic_that_is_no_name_is_rejected_and_its_neighbours_are_sent(broker: Rockets, topic: str) -> None:
    good, publisher = broker.make_topic(), broker.make_publisher()
    first, bad, last = publisher.publish([a_record(good, 1), a_record(topic, 2), a_record(good, 3)])
    publisher.close()
    assert (first, last) == (SENT, SENT)
    assert isinstance(bad, Rejected)
    assert publisher.topic_fault(topic)


def test_the_first_proxy_that_answers_serves(broker: Rockets) -> None:
    from asyncflow.integrations.rocketmq import RocketMQPublisher

    topic, publisher = broker.make_topic(), RocketMQPublisher(["127.0.0.1:1", broker.address])
    assert publisher.publish([a_record(topic)]) == [SENT]
    publisher.close()


def test_close_gives_every_socket_back_and_publishing_afterwards_is_unavailable(broker: Rockets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    assert publisher.publish([a_record(topic)]) == [SENT]
    assert broker.own_sockets() > 0
    publisher.close()
    deadline = monotonic() + 60
    while broker.own_sockets():
        assert monotonic() < deadline
    assert publisher.publish([a_record(topic)]) == [Unavailable("the publisher is closed")]


def test_the_client_writes_no_log_file_of_its_own(broker: Rockets, caplog: pytest.LogCaptureFixture) -> None:
    import rocketmq.v5.log

    caplog.set_level(logging.DEBUG)
    publisher = broker.make_publisher()
    publisher.close()
    files = [one for one in rocketmq.v5.log.logger.handlers if isinstance(one, logging.FileHandler)]
    assert files == []
    assert not Path("~/logs/rocketmq_python/rocketmq_client.log").expanduser().exists()

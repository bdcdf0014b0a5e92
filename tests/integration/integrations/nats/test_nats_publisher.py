"""The publisher to NATS, on the real server: the suite of publishers, and what is JetStream's own."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import Any

import pytest

from asyncflow.scheduler.publishing.publisher import SENT, Record, Rejected, Retry, Unavailable
from tests.support.own_publisher_suite import OwnPublisherSuite, a_record

pytestmark = pytest.mark.timeout(120)

Jets = Any  # which needs nats-py


class TestNatsPublisher(OwnPublisherSuite):
    """All of it."""


def publish_in_haste(broker: Jets, publisher: Any, topic: str) -> Any:
    """Publish what nobody will acknowledge: connected before, for which there is time, and then waiting shortly."""
    assert publisher.publish([a_record(broker.make_topic())]) == [SENT]
    publisher._link._timeout_seconds = 5.0
    return publisher.publish([a_record(topic)])


def test_a_message_has_its_id_its_key_and_its_headers_as_headers_of_ascii(broker: Jets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    headers = [("message-id", b"id-1"), ("tenant", " é 100%\r\nX: 1 ".encode()), ("имя", b"")]
    assert publisher.publish([Record(topic, "ключ".encode(), b"body", headers)]) == [SENT]
    publisher.close()
    from tests.integration.integrations.nats.jets import lines_of

    (message,) = broker.raw(topic)
    assert sorted(line.rstrip() for line in lines_of(message)) == [
        b"%D0%B8%D0%BC%D1%8F:",
        b"Nats-Msg-Id: id-1",
        b"message-id: id-1",
        b"message-key: %D0%BA%D0%BB%D1%8E%D1%87",
        b"tenant: %20%C3%A9 100%25%0D%0AX: 1%20",
    ]
    assert broker.stored(topic, 1) == [Record(topic, "ключ".encode(), b"body", headers)]


def test_what_the_stream_has_had_counts_as_sent_and_is_not_there_twice(broker: Jets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    batch = [a_record(topic, number) for number in range(50)]
    for _ in range(2):
        assert publisher.publish([*batch, batch[7]]) == [SENT] * 51
    publisher.close()
    assert broker.stored(topic, 50) == batch


def test_without_a_stream_a_message_is_rejected_with_the_remedy_until_there_is_one(broker: Jets) -> None:
    topic, other, publisher = broker.make_topic(), broker.unroutable_topic(), broker.make_publisher()
    for _ in range(2):
        sent, rejected = publisher.publish([a_record(topic), a_record(other)])
        assert sent == SENT
        assert isinstance(rejected, Rejected)
        assert rejected.error.startswith(f"no responders: no stream takes the subject '{other}'; make a stream")
    broker.make_stream(other)
    assert publisher.publish([a_record(other)]) == [SENT]
    publisher.close()


def test_a_listener_in_place_of_a_stream_costs_an_attempt_and_is_told(broker: Jets) -> None:
    topic, publisher = broker.unroutable_topic(), broker.make_publisher()
    broker.client.listen(topic)
    (outcome,) = publish_in_haste(broker, publisher, topic)
    publisher.close()
    assert isinstance(outcome, Retry)
    assert "those who listen are no stream" in outcome.error


def test_a_stream_without_acknowledgements_is_named(broker: Jets) -> None:
    topic, publisher = broker.make_topic(no_ack=True), broker.make_publisher()
    (outcome,) = publish_in_haste(broker, publisher, topic)
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert "no_ack has to be off" in outcome.error


@pytest.mark.parametrize("limit", [{"max_msgs": 2}, {"max_bytes": 300}])
def test_a_full_stream_costs_no_attempt_and_is_the_topic_s_trouble(broker: Jets, limit: dict[str, int]) -> None:
    topic, publisher = broker.make_topic(discard="new", **limit), broker.make_publisher()
    outcomes = publisher.publish([a_record(topic, number) for number in range(10)])
    assert outcomes[0] == SENT
    assert isinstance(outcomes[-1], Unavailable)
    assert outcomes[-1].is_of_topic
    assert "maximum" in outcomes[-1].error
    other = broker.make_topic()
    assert publisher.publish([a_record(other)]) == [SENT]
    publisher.close()


def test_a_message_too_large_for_its_stream_is_rejected_alone(broker: Jets) -> None:
    topic, publisher = broker.make_topic(max_msg_size=500), broker.make_publisher()
    batch = [a_record(topic, number) for number in range(9)]
    batch[5] = batch[5]._replace(value=bytes(600))
    outcomes = publisher.publish(batch)
    publisher.close()
    assert isinstance(outcomes[5], Rejected)
    assert outcomes[5].error == "10054: message size exceeds maximum allowed"
    assert [*outcomes[:5], *outcomes[6:]] == [SENT] * 8


def test_a_message_too_large_for_the_server_is_rejected_alone_and_ends_no_connection(broker: Jets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(max_message_bytes=16 * 1024 * 1024)
    batch = [a_record(topic, number) for number in range(9)]
    batch[5] = batch[5]._replace(value=bytes(1024 * 1024))  # it fits but for its headers
    outcomes = publisher.publish(batch)
    publisher.close()
    assert isinstance(outcomes[5], Rejected)
    assert "the server's max_payload is 1048576" in outcomes[5].error
    assert [*outcomes[:5], *outcomes[6:]] == [SENT] * 8


def test_headers_too_large_are_rejected_alone(broker: Jets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    large = Record(topic, None, b"", [("message-id", b"1"), ("own", bytes(22_000))])
    assert publisher.publish([a_record(topic, 1), large]) == [
        SENT,
        Rejected("10097: header size exceeds maximum allowed of 64k"),
    ]
    publisher.close()


@pytest.mark.parametrize("topic", ["", "a b", "a.*", "a.>", "a..b", ".a", "a.", "$JS.API.STREAM.NAMES", "a\r\nPUB x"])
def test_a_topic_that_is_no_subject_is_rejected_and_its_neighbours_are_sent(broker: Jets, topic: str) -> None:
    good, publisher = broker.make_topic(), broker.make_publisher()
    first, bad, last = publisher.publish([a_record(good, 1), a_record(topic, 2), a_record(good, 3)])
    publisher.close()
    assert (first, last) == (SENT, SENT)
    assert isinstance(bad, Rejected)
    assert publisher.topic_fault(topic)


def test_who_may_not_ask_for_streams_sends_all_the_same_and_is_told_both_reasons(broker: Jets) -> None:
    topic, other, publisher = broker.make_topic(), broker.unroutable_topic(), broker.make_publisher(user="blind")
    for _ in range(2):
        sent, lacking = publisher.publish([a_record(topic), a_record(other)])
        assert sent == SENT
        assert isinstance(lacking, Retry)
        assert "or it has no leader" in lacking.error
    publisher.close()


def test_who_may_not_hear_answers_sends_nothing_and_costs_no_attempt(broker: Jets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(user="deaf")
    (outcome,) = publisher.publish([a_record(topic)])
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert "allow _INBOX.>" in outcome.error
    assert broker.state_of(topic)["messages"] == 0


def test_wrong_credentials_cost_no_attempt_and_are_told_without_them(
    broker: Jets, caplog: pytest.LogCaptureFixture
) -> None:
    from asyncflow.integrations.nats import NatsPublisher

    caplog.set_level(logging.DEBUG)
    publisher = NatsPublisher(broker.url_of("limited").replace(":asyncflow@", ":s3cret@"))
    (outcome,) = publisher.publish([a_record("a")])
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert "Authorization Violation" in outcome.error
    assert "s3cret" not in outcome.error + caplog.text


def test_a_stream_is_made_where_there_is_none_and_one_that_is_there_stays_as_it_is(broker: Jets) -> None:
    from nats.js.api import StreamConfig

    topic = broker.new_subject("made")
    name = topic.replace(".", "-")
    for wanted in (5000, 9000):
        stream = StreamConfig(name=name, subjects=[topic], max_msgs=wanted, duplicate_window=60)
        publisher = broker.make_publisher(user="asyncflow", stream=stream)
        assert publisher.publish([a_record(topic, wanted)]) == [SENT]
        publisher.close()
        configuration = broker.client.api(f"STREAM.INFO.{name}")["config"]
        assert (configuration["max_msgs"], configuration["duplicate_window"]) == (5000, 60_000_000_000)


@pytest.mark.parametrize(("user", "why"), [("asyncflow", "10065: subjects overlap"), ("blind", "may not ask it")])
def test_a_stream_that_cannot_be_made_costs_no_attempt_and_is_named(broker: Jets, user: str, why: str) -> None:
    from nats.js.api import StreamConfig

    topic = broker.make_topic()
    publisher = broker.make_publisher(user=user, stream=StreamConfig(name="never-made", subjects=[topic]))
    began = monotonic()
    (outcome,) = publisher.publish([a_record(topic)])
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert outcome.error.startswith("the stream never-made could not be made: ")
    assert why in outcome.error
    assert monotonic() - began < 25.0  # of the 30 that it may take: a refusal is no silence


def test_a_connection_that_was_idle_for_long_is_made_anew(broker: Jets) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher()
    assert publisher.publish([a_record(topic, 0)]) == [SENT]
    first = publisher._link._session._connection
    assert publisher.publish([a_record(topic, 1)]) == [SENT]
    assert publisher._link._session._connection is first
    publisher._link._session._used_at -= 61
    assert publisher.publish([a_record(topic, 2)]) == [SENT]
    assert publisher._link._session._connection is not first
    publisher.close()
    assert [record.value for record in broker.stored(topic, 3)] == [b"0", b"1", b"2"]


def test_close_gives_every_socket_and_thread_back_and_publishing_afterwards_is_unavailable(broker: Jets) -> None:
    from asyncflow.integrations.nats import NatsPublisher

    topic = broker.make_topic()
    before = broker.own_sockets()
    publisher = NatsPublisher(broker.url_of("limited").replace("127.0.0.1", "localhost"))
    assert publisher.publish([a_record(topic)]) == [SENT]
    assert broker.own_sockets() > before
    publisher.close()
    assert broker.own_sockets() == before
    deadline = monotonic() + 60
    while any("asyncflow-nats" in thread.name for thread in threading.enumerate()):
        assert monotonic() < deadline
    assert publisher.publish([a_record(topic)]) == [Unavailable("the publisher is closed")]

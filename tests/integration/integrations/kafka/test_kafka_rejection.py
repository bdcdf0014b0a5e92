"""A record that the broker will never take fails alone, and for good."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asyncflow.integrations.kafka import KafkaSettings
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Rejected, Retry
from tests.integration.integrations.kafka.adapters import Adapter
from tests.integration.integrations.kafka.conftest import MakePublisher, MakeTopic
from tests.integration.integrations.kafka.mock_cluster import PRODUCE, MockCluster
from tests.integration.integrations.kafka.reading import read

pytestmark = pytest.mark.timeout(240)

UNKNOWN_TOPIC = 3
MESSAGE_TOO_LARGE = 10
INVALID_TOPIC = 17
TOPIC_AUTHORIZATION_FAILED = 29
INVALID_RECORD = 87


def test_a_record_too_large_for_the_client_is_rejected_and_its_neighbours_are_sent(
    make_publisher: MakePublisher, kafka: str, topic: str
) -> None:
    outcomes = make_publisher(kafka).publish(_with_a_giant(topic))

    assert _kinds(outcomes) == ["Sent"] * 10 + ["Rejected"] + ["Sent"] * 10
    assert "SIZE" in _error_of(outcomes[10]).upper()


def test_a_record_too_large_for_the_broker_is_rejected_and_its_neighbours_are_sent(
    make_publisher: MakePublisher, adapter: Adapter, kafka: str, topic: str
) -> None:
    publisher = make_publisher(kafka, client_options={adapter.max_record_bytes: 5_000_000})

    outcomes = publisher.publish(_with_a_giant(topic))

    if _is_mock_without_a_limit(outcomes):
        pytest.skip("the mock cluster has no limit")
    assert _kinds(outcomes) == ["Sent"] * 10 + ["Rejected"] + ["Sent"] * 10
    assert {record.value for record in read(kafka, topic, 20)} == {b"%d" % n for n in range(21) if n != 10}


def test_one_refused_request_does_not_condemn_the_records_that_were_in_it(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    publisher = make_publisher(mock.bootstrap)
    publisher.publish([Record(topic, b"warm", b"up", [])])
    mock.fail_next(PRODUCE, INVALID_RECORD)

    assert publisher.publish([Record(topic, b"k", b"%d" % n, []) for n in range(10)]) == [SENT] * 10


@pytest.mark.parametrize("name", ["no spaces", "söme", "x" * 250, "..", ""])
def test_an_invalid_topic_name_is_rejected_each_time(
    make_publisher: MakePublisher, kafka: str, topic: str, name: str
) -> None:
    publisher = make_publisher(kafka)
    assert publisher.topic_fault(name)
    for _ in range(2):
        outcomes = publisher.publish([Record(topic, b"k", b"v", []), Record(name, b"k", b"v", [])])
        assert _kinds(outcomes) == ["Sent", "Rejected"]


def test_a_topic_name_in_which_no_fault_is_told_is_taken(
    make_publisher: MakePublisher, make_topic: MakeTopic, kafka: str, topic: str
) -> None:
    names = [make_topic(f"{topic}{more}") for more in (".Z_z-0", "..", "x" * (249 - len(topic)))]
    publisher = make_publisher(kafka)
    assert [publisher.topic_fault(name) for name in names] == [None] * len(names)
    assert _kinds(publisher.publish([Record(name, b"k", b"v", []) for name in names])) == ["Sent"] * len(names)


def test_a_topic_that_we_may_not_write_to_is_rejected_and_others_are_served(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    mock.spoil_topic("forbidden", TOPIC_AUTHORIZATION_FAILED)
    publisher = make_publisher(mock.bootstrap)
    for _ in range(2):
        outcomes = publisher.publish([Record("forbidden", b"k", b"v", []), Record(topic, b"k", b"v", [])])
        assert _kinds(outcomes) == ["Rejected", "Sent"]
        assert "AUTHORIZATION" in _error_of(outcomes[0]).upper()


def test_a_missing_topic_on_a_cluster_that_answers_is_retried_and_found_when_it_is_there(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    mock.spoil_topic("missing", UNKNOWN_TOPIC)
    publisher = make_publisher(mock.bootstrap, KafkaSettings(delivery_timeout_seconds=2))
    batch = [Record("missing", b"k", b"v", []), Record(topic, b"k", b"v", [])]

    answered = 0
    while answered < 2:  # a cluster that is late is no cluster that answers; bounded by the test's own time-out
        missing, other = _kinds(publisher.publish(batch))
        assert (missing, other) == ("Retry", "Sent") or other == "Unavailable"
        answered += other == "Sent"

    mock.spoil_topic("missing", 0)
    while publisher.publish(batch) != [SENT, SENT]:
        pass  # bounded by the test's own time-out


def _with_a_giant(topic: str) -> list[Record]:
    values = [b"%d" % number for number in range(21)]
    values[10] = b"x" * 3_000_000
    return [Record(topic, b"k%d" % (number % 3), value, []) for number, value in enumerate(values)]


def _error_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Rejected)
    return outcome.error


def _is_mock_without_a_limit(outcomes: Sequence[Outcome]) -> bool:
    return list(outcomes) == [SENT] * len(outcomes)


def _kinds(outcomes: Sequence[Outcome]) -> list[str]:
    assert all("\n" not in outcome.error for outcome in outcomes if isinstance(outcome, Rejected | Retry))
    return [type(outcome).__name__ for outcome in outcomes]

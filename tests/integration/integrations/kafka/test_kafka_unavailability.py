"""A cluster that does not answer costs no attempt, no long wait and no restart."""

from __future__ import annotations

import pytest

from asyncflow.integrations.kafka import KafkaSasl, KafkaSettings, KafkaTls
from asyncflow.scheduler.publishing.publisher import SENT, Record
from tests.integration.integrations.kafka.adapters import Adapter
from tests.integration.integrations.kafka.conftest import MakePublisher
from tests.integration.integrations.kafka.mock_cluster import INIT_PRODUCER_ID, PRODUCE, MockCluster
from tests.integration.integrations.kafka.reading import read
from tests.integration.integrations.kafka.watching import assert_unavailable_in_time, batch, publish_until_sent

pytestmark = pytest.mark.timeout(240)

TIMEOUT_SECONDS = 2.0
PATIENT = KafkaSettings(delivery_timeout_seconds=TIMEOUT_SECONDS)

OUT_OF_ORDER_SEQUENCE = 45
INVALID_PRODUCER_EPOCH = 47
NOT_ENOUGH_REPLICAS = 19
CLUSTER_AUTHORIZATION_FAILED = 31


def test_a_closed_port_is_unavailable(make_publisher: MakePublisher, closed_port: str, topic: str) -> None:
    publisher = make_publisher(closed_port, PATIENT)
    for _ in range(2):
        assert_unavailable_in_time(publisher, topic, TIMEOUT_SECONDS)


def test_a_server_that_never_answers_is_unavailable(
    make_publisher: MakePublisher, mute_server: str, topic: str
) -> None:
    publisher = make_publisher(mute_server, PATIENT)
    for _ in range(2):
        assert_unavailable_in_time(publisher, topic, TIMEOUT_SECONDS)


def test_a_host_that_does_not_resolve_is_unavailable(make_publisher: MakePublisher, topic: str) -> None:
    assert_unavailable_in_time(make_publisher("no-such-host.invalid:9092", PATIENT), topic, TIMEOUT_SECONDS)


def test_a_frozen_broker_is_unavailable_and_works_again_with_the_same_publisher(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    publisher = make_publisher(mock.bootstrap, PATIENT)
    publish_until_sent(publisher, topic)

    mock.freeze()
    for _ in range(2):
        assert_unavailable_in_time(publisher, topic, TIMEOUT_SECONDS)
    mock.thaw()

    publish_until_sent(publisher, topic)


def test_a_broker_that_dies_while_we_are_idle_is_unavailable(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    publisher = make_publisher(mock.bootstrap, PATIENT)
    publish_until_sent(publisher, topic)
    mock.kill()
    for _ in range(2):
        assert_unavailable_in_time(publisher, topic, TIMEOUT_SECONDS)


def test_a_broker_that_was_away_at_the_start_is_found_later(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    mock.freeze()
    publisher = make_publisher(mock.bootstrap, PATIENT)
    assert_unavailable_in_time(publisher, topic, TIMEOUT_SECONDS)
    mock.thaw()
    publish_until_sent(publisher, topic)


def test_records_given_up_are_not_delivered_behind_our_back(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    publisher = make_publisher(mock.bootstrap, PATIENT)
    mock.freeze()
    assert_unavailable_in_time(publisher, topic, TIMEOUT_SECONDS)
    mock.thaw()
    marker = Record(topic, b"marker", b"marker", [])
    while publisher.publish([marker]) != [SENT]:
        pass  # bounded by the test's own time-out

    assert {record.key for record in read(mock.bootstrap, topic, 1)} == {b"marker"}


@pytest.mark.parametrize("code", [OUT_OF_ORDER_SEQUENCE, INVALID_PRODUCER_EPOCH])
def test_a_lost_place_in_the_sequence_is_overcome_by_the_same_publisher(
    make_publisher: MakePublisher, mock: MockCluster, topic: str, code: int
) -> None:
    publisher = make_publisher(mock.bootstrap, PATIENT)
    publish_until_sent(publisher, topic)
    mock.fail_next(PRODUCE, *[code] * 3)
    publisher.publish(batch(topic))
    publish_until_sent(publisher, topic)


def test_a_client_that_failed_for_good_is_replaced(
    make_publisher: MakePublisher, mock: MockCluster, topic: str
) -> None:
    publisher = make_publisher(mock.bootstrap, PATIENT)
    mock.fail_next(INIT_PRODUCER_ID, *[CLUSTER_AUTHORIZATION_FAILED] * 2)
    assert publisher.publish(batch(topic)) != [SENT] * 100
    publish_until_sent(publisher, topic)


def test_too_few_replicas_cost_no_attempt(make_publisher: MakePublisher, mock: MockCluster, topic: str) -> None:
    publisher = make_publisher(mock.bootstrap, PATIENT)
    publish_until_sent(publisher, topic)
    mock.fail_next(PRODUCE, *[NOT_ENOUGH_REPLICAS] * 500)
    assert_unavailable_in_time(publisher, topic, TIMEOUT_SECONDS)


@pytest.mark.parametrize(
    "settings",
    [
        KafkaSettings(delivery_timeout_seconds=TIMEOUT_SECONDS, tls=KafkaTls()),
        KafkaSettings(delivery_timeout_seconds=TIMEOUT_SECONDS, sasl=KafkaSasl(username="u", password="p")),
    ],
    ids=["tls", "sasl"],
)
def test_a_security_setting_that_the_broker_does_not_share_is_unavailable(
    make_publisher: MakePublisher, kafka: str, topic: str, settings: KafkaSettings
) -> None:
    assert_unavailable_in_time(make_publisher(kafka, settings), topic, TIMEOUT_SECONDS)


def test_native_tls_options_reach_the_client(
    make_publisher: MakePublisher, adapter: Adapter, kafka: str, topic: str
) -> None:
    name = "security_protocol" if adapter.library == "kafka" else "security.protocol"
    assert_unavailable_in_time(make_publisher(kafka, PATIENT, {name: "SSL"}), topic, TIMEOUT_SECONDS)

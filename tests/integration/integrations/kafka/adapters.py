"""The two publishers, and what the one conformance suite has to know to treat them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher

AnyPublisher = KafkaPublisher | ConfluentKafkaPublisher


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Describe one publisher: its class, its extra, and its names for what the suite needs.

    ``for_mock`` are client options without which the client cannot talk to librdkafka's mock cluster.
    """

    publisher: type[AnyPublisher]
    library: str
    extra: str
    max_record_bytes: str
    weakening: Mapping[str, object]
    mistyped: tuple[str, str]
    for_mock: Mapping[str, object] = field(default_factory=dict)


KAFKA_PYTHON = Adapter(
    publisher=KafkaPublisher,
    library="kafka",
    extra="kafka",
    max_record_bytes="max_request_size",
    weakening={
        "acks": 1,
        "enable_idempotence": False,
        "retries": 0,
        "max_in_flight_requests_per_connection": 6,
        "partitioner": print,
        "transactional_id": "t",
    },
    mistyped=("ssl_cafle", "ssl_cafile"),
    # The mock answers the newest version request in a form that only librdkafka reads.
    for_mock={"api_version": (2, 3)},
)

CONFLUENT = Adapter(
    publisher=ConfluentKafkaPublisher,
    library="confluent_kafka",
    extra="kafka-fast",
    max_record_bytes="message.max.bytes",
    weakening={
        "acks": 1,
        "request.required.acks": "0",
        "enable.idempotence": "false",
        "retries": 0,
        "message.send.max.retries": 0,
        "max.in.flight": 6,
        "max.in.flight.requests.per.connection": "100",
        "partitioner": "consistent_random",
        "transactional.id": "t",
        "delivery.report.only.error": False,
    },
    mistyped=("ssl.ca.locaton", "ssl.ca.location"),
)

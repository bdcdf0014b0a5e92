"""What is published arrives: all of it, unchanged, in order, and where its key belongs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher, KafkaSettings
from asyncflow.scheduler.publishing.publisher import SENT, Record
from tests.integration.integrations.kafka.adapters import KAFKA_PYTHON
from tests.integration.integrations.kafka.conftest import LASTING, MakePublisher
from tests.integration.integrations.kafka.reading import Stored, read
from tests.integration.integrations.kafka.watching import assert_unavailable_in_time

pytestmark = pytest.mark.timeout(240)

KEYS = ["A1001", "", "ключ", "鍵-7", "🔑", "a", "ab", "abc", "abcd", "é" * 40, *(f"account-{n}" for n in range(40))]


def test_three_thousand_records_arrive_in_the_order_of_each_key(
    make_publisher: MakePublisher, kafka: str, topic: str
) -> None:
    batch = [Record(topic, b"key-%d" % (number % 37), b"%d" % number, []) for number in range(3000)]

    outcomes = make_publisher(kafka).publish(batch)

    assert outcomes == [SENT] * 3000
    by_key: dict[bytes | None, list[int]] = defaultdict(list)
    for stored in read(kafka, topic, 3000):
        by_key[stored.key].append(int(stored.value or b""))
    assert by_key == {b"key-%d" % key: list(range(key, 3000, 37)) for key in range(37)}


def test_key_value_and_headers_arrive_byte_for_byte(make_publisher: MakePublisher, kafka: str, topic: str) -> None:
    headers = [("idempotency-id", bytes(range(256))), ("трасса", "ключ".encode()), ("empty", b""), ("twice", b"1")]
    batch = [
        Record(topic, None, b"no key", []),
        Record(topic, b"", b"empty key", ()),
        Record(topic, "ключ".encode(), b"", [*headers, ("twice", b"2")]),
        Record(topic, b"\x00\xff", bytes(range(256)), tuple(headers)),
    ]

    assert make_publisher(kafka).publish(batch) == [SENT] * 4

    stored = sorted(read(kafka, topic, 4), key=lambda record: record.value or b"")
    expected = sorted(batch, key=lambda record: record.value)
    assert [record[1:] for record in stored] == [(key, value, list(pairs)) for _, key, value, pairs in expected]


@pytest.mark.parametrize("compression", ["gzip", "lz4", "snappy", "zstd"])
def test_compressed_records_arrive(kafka: str, topic: str, compression: str) -> None:
    publisher = ConfluentKafkaPublisher(kafka, replace(LASTING, compression=compression))
    try:
        assert publisher.publish([Record(topic, b"k", b"v" * 1000, [])]) == [SENT]
    finally:
        publisher.close()
    assert read(kafka, topic, 1)[0].value == b"v" * 1000


def test_both_clients_place_a_key_in_the_same_partition(kafka: str, topic: str, request: pytest.FixtureRequest) -> None:
    batch = [Record(topic, key.encode(), b"", []) for key in KEYS]
    plain = KafkaPublisher(kafka, LASTING, client_options={} if _is_real(kafka) else KAFKA_PYTHON.for_mock)
    fast = ConfluentKafkaPublisher(kafka, LASTING)
    try:
        for publisher in (plain, fast):
            assert publisher.publish(batch) == [SENT] * len(KEYS)
    finally:
        plain.close()
        fast.close()
    placed = _partitions_by_key(read(kafka, topic, 2 * len(KEYS)))
    assert all(len(partitions) == 1 for partitions in placed.values()), placed
    assert len(set().union(*placed.values())) > 1, "one partition alone proves nothing"


def test_a_batch_larger_than_the_queue_of_librdkafka_arrives(kafka: str, topic: str) -> None:
    publisher = ConfluentKafkaPublisher(kafka, LASTING, client_options={"queue.buffering.max.messages": 50})
    try:
        assert publisher.publish([Record(topic, b"k", b"%d" % number, []) for number in range(1000)]) == [SENT] * 1000
    finally:
        publisher.close()
    assert [record.value for record in read(kafka, topic, 1000)] == [b"%d" % number for number in range(1000)]


def test_a_batch_larger_than_the_queue_is_given_up_in_time(closed_port: str, topic: str) -> None:
    small = {"queue.buffering.max.messages": 50}
    publisher = ConfluentKafkaPublisher(closed_port, KafkaSettings(delivery_timeout_seconds=2), client_options=small)
    try:
        assert_unavailable_in_time(publisher, topic, 2.0)
    finally:
        publisher.close()


def test_several_clusters_are_served_independently(make_publisher: MakePublisher, kafka: str, topic: str) -> None:
    here, nowhere = make_publisher(kafka), make_publisher("127.0.0.1:1", KafkaSettings(delivery_timeout_seconds=1))
    record = Record(topic, b"k", b"v", [])

    assert nowhere.publish([record]) != [SENT]
    assert here.publish([record]) == [SENT]


def _partitions_by_key(stored: list[Stored]) -> dict[bytes | None, set[int]]:
    placed: dict[bytes | None, set[int]] = defaultdict(set)
    for record in stored:
        placed[record.key].add(record.partition)
    return placed


def _is_real(servers: str) -> bool:
    from tools.services import load

    return load().kafka_is_real and servers == load().kafka_bootstrap

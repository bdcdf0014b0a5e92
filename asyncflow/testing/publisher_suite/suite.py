"""The tests of the suite."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

from asyncflow.scheduler.publishing.publisher import (
    SENT,
    Outcome,
    Publisher,
    Record,
    Rejected,
    Retry,
    Sent,
    Unavailable,
)
from asyncflow.testing.publisher_suite.broker import BrokerUnderTest
from asyncflow.testing.publisher_suite.expecting import (
    SLACK_SECONDS,
    expect,
    expect_kinds,
    expect_stored,
    expect_unavailable,
    published,
    reject_in_the_end,
    send,
    send_in_the_end,
)

KEYS = ["A1001", "ключ", "鍵-7", "🔑", "a b", "é" * 40]
PATIENT_SECONDS = 30.0  # on a busy machine
NOT_SENT = (Retry, Unavailable, Rejected)


def records(topic: str, count: int, keys: int = 7) -> list[Record]:
    """Return records of some keys, each with a value of its own and an id as every task has one."""
    return [
        Record(topic, b"k%d" % (number % keys), b"%d" % number, [("message-id", b"id-%d" % number)])
        for number in range(count)
    ]


def _wave(topic: str, number: int) -> list[Record]:
    """Return a record of each of ten keys, of 4,000 bytes; all that are of one number have the same value."""
    value = b"%03d" % number + b"x" * 4000
    return [Record(topic, b"k%d" % key, value, [("message-id", b"id-%d-%d" % (number, key))]) for key in range(10)]


class PublisherSuite:
    """Inherit these tests, in a class named ``Test...``, and give them a fixture ``broker``: a BrokerUnderTest."""

    def test_what_is_published_is_stored(self, broker: BrokerUnderTest) -> None:
        """Of two batches of one publisher nothing is lost."""
        topic, publisher = broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        batch = records(topic, 200)
        try:
            for part in (batch[:150], batch[150:]):
                expect(published(publisher, part) == [SENT] * len(part), "a broker that is well did not take all")
        finally:
            publisher.close()
        expect_stored(broker.stored(topic, 200), batch)

    def test_an_empty_batch_has_no_outcomes(self, broker: BrokerUnderTest) -> None:
        """Nothing is asked of the broker for it."""
        publisher = broker.make_publisher(PATIENT_SECONDS)
        expect(published(publisher, []) == [], "an empty batch has outcomes")
        publisher.close()

    def test_keys_values_and_headers_arrive_byte_for_byte(self, broker: BrokerUnderTest) -> None:
        """Keys in any script, payloads that are empty or binary, headers of text."""
        topic, publisher = broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        own = [
            ("message-type", "тип".encode()),
            ("content-type", b"application/json"),
            ("tenant", "é".encode()),
            ("no", b""),
        ]
        bodies = [b"", bytes(range(256)), "текст".encode(), b"\x00", b"{}", b"x" * 5000]
        batch = [
            Record(topic, key.encode(), body, [("message-id", b"m%d" % number), *own])
            for number, (key, body) in enumerate(zip(KEYS, bodies, strict=True))
        ]
        batch.append(Record(topic, None, b"no key", [("message-id", b"none")]))
        try:
            expect(published(publisher, batch) == [SENT] * len(batch), "not all were taken")
        finally:
            publisher.close()
        expect_stored(broker.stored(topic, len(batch)), batch)

    def test_records_of_a_key_arrive_in_their_order(self, broker: BrokerUnderTest) -> None:
        """Also over several batches."""
        topic, publisher = broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        batch = records(topic, 300, keys=11)
        try:
            for first in range(0, 300, 100):
                send(publisher, batch[first : first + 100])
        finally:
            publisher.close()
        by_key: dict[bytes | None, list[int]] = defaultdict(list)
        for stored in broker.stored(topic, 300):
            by_key[stored.key].append(int(stored.value))
        expect(all(numbers == sorted(numbers) for numbers in by_key.values()), f"out of order: {dict(by_key)}")

    def test_a_record_too_large_is_rejected_and_its_neighbours_are_sent(self, broker: BrokerUnderTest) -> None:
        """One record is at fault, and the others of its batch are not."""
        topic, size = broker.make_topic(), broker.bytes_too_many()
        batch = records(topic, 9)
        batch[4] = Record(topic, b"k4", b"x" * size, [("message-id", b"id-4")])
        publisher = broker.make_publisher(PATIENT_SECONDS)
        try:
            outcomes = published(publisher, batch)
        finally:
            publisher.close()
        expect_kinds(outcomes, *[Sent] * 4, Rejected, *[Sent] * 4)
        expect_stored(broker.stored(topic, 8), batch[:4] + batch[5:])

    def test_an_unroutable_record_is_not_sent_and_its_neighbours_are(self, broker: BrokerUnderTest) -> None:
        """What no place keeps was not sent, whatever the broker confirms; it says so again the next time."""
        self._expect_apart(broker, broker.unroutable_topic(), NOT_SENT)

    def test_a_refused_record_is_not_sent_and_its_neighbours_are(self, broker: BrokerUnderTest) -> None:
        """What a broker does not take for now may be tried again."""
        self._expect_apart(broker, broker.refusing_topic(), (Retry, Unavailable))

    def test_a_record_for_a_forbidden_topic_is_rejected_and_its_neighbours_are_sent(
        self, broker: BrokerUnderTest
    ) -> None:
        """A missing permission is told for what it is about."""
        self._expect_apart(broker, broker.forbidden_topic(), (Rejected,))

    def test_a_topic_that_is_removed_meanwhile_costs_its_own_records_alone_and_is_found_again(
        self, broker: BrokerUnderTest
    ) -> None:
        """Some brokers make it anew, and take the records; where one does not, nothing counts as sent."""
        topic, other, publisher = broker.make_topic(), broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        batch, its = records(topic, 27), records(other, 9)
        try:
            send(publisher, [*batch[:9], *its[:3]])
            with broker.removed(other):
                for first, one in ((9, its[3]), (14, its[4])):  # the second may meet a client that knows of it
                    mixed = [*batch[first : first + 2], one, *batch[first + 2 : first + 4]]
                    expect_kinds(published(publisher, mixed), Sent, Sent, (Sent, *NOT_SENT), Sent, Sent)
            send_in_the_end(publisher, its[5:])
            send(publisher, batch)
        finally:
            publisher.close()
        expect_stored(broker.stored(other, 4), its[5:])
        expect_stored(broker.stored(topic, 27), batch)

    def test_a_permission_that_is_revoked_meanwhile_costs_the_records_that_need_it_alone(
        self, broker: BrokerUnderTest
    ) -> None:
        """It is told as a permission that never was, and its return is noticed."""
        topic, other, publisher = broker.make_topic(), broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        batch, its = records(topic, 9), records(other, 9)
        try:
            send(publisher, [*batch[:2], *its[:2]])
            with broker.revoked(other):
                reject_in_the_end(publisher, its[2:3])
                mixed = [*batch[2:4], its[3], *batch[4:6]]
                expect_kinds(published(publisher, mixed), Sent, Sent, Rejected, Sent, Sent)
            send_in_the_end(publisher, its[4:])
        finally:
            publisher.close()
        expect_stored(broker.stored(other, 7), its[4:])
        expect_stored(broker.stored(topic, 6), batch[:6])

    def test_a_broker_that_is_away_at_the_start_costs_no_attempt_and_is_found_later(
        self, broker: BrokerUnderTest
    ) -> None:
        """The publisher that was made meanwhile finds it."""
        topic = broker.make_topic()
        batch = records(topic, 20)
        with broker.away():
            publisher = broker.make_publisher(broker.shortest_timeout_seconds)
            for _ in range(2):
                expect_unavailable(publisher, batch, broker.shortest_timeout_seconds)
        self._send_and_expect(broker, topic, publisher, batch)

    def test_a_broker_that_goes_away_between_batches_costs_no_attempt_and_is_found_again(
        self, broker: BrokerUnderTest
    ) -> None:
        """The publisher that had a connection makes another."""
        topic, publisher = broker.make_topic(), broker.make_publisher(broker.shortest_timeout_seconds)
        batch = records(topic, 20)
        send(publisher, batch[:10])
        with broker.away():
            for _ in range(2):
                expect_unavailable(publisher, batch[10:], broker.shortest_timeout_seconds)
        self._send_and_expect(broker, topic, publisher, batch)

    def test_what_is_sent_of_a_batch_that_was_cut_off_is_stored(self, broker: BrokerUnderTest) -> None:
        """A part may be sent; what is told so is there, and the rest is not refused."""
        topic, publisher = broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        batch = [
            record._replace(value=b"%06d" % number + b"x" * 4000) for number, record in enumerate(records(topic, 100))
        ]
        send(publisher, batch[:1])
        with broker.cut_after(200_000):
            outcomes = published(publisher, batch)
        expect(not any(isinstance(outcome, Rejected) for outcome in outcomes), f"rejected: {outcomes}")
        sent = [record for record, outcome in zip(batch, outcomes, strict=True) if outcome == SENT]
        expect_stored(broker.stored(topic, len(sent)), sent)
        self._send_and_expect(broker, topic, publisher, batch)

    def test_records_of_a_key_keep_their_order_when_the_connection_is_cut(self, broker: BrokerUnderTest) -> None:
        """Of each key the next goes when the one before is sent, as a relay has it; what comes again is no disorder."""
        topic, publisher = broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        waves = [_wave(topic, number) for number in range(10)]
        try:
            send(publisher, waves[0])
            with broker.cut_after(20_000):
                outcomes = published(publisher, waves[1])
            send(publisher, [record for record, outcome in zip(waves[1], outcomes, strict=True) if outcome != SENT])
            for wave in waves[2:]:
                send(publisher, wave)
        finally:
            publisher.close()
        by_key: dict[bytes | None, list[bytes]] = defaultdict(list)
        for stored in broker.stored(topic, 100):
            if stored.value not in by_key[stored.key]:
                by_key[stored.key].append(stored.value)
        in_order = [wave[0].value for wave in waves]
        others = {key: [value[:3] for value in values] for key, values in by_key.items() if values != in_order}
        expect(len(by_key) == 10, f"{len(by_key)} of 10 keys are there")
        expect(not others, f"keys out of order, or with gaps: {others}")

    def test_what_was_taken_and_could_not_be_acknowledged_is_not_sent_and_goes_again(
        self, broker: BrokerUnderTest
    ) -> None:
        """Nobody knows whether it is there: it costs no attempt, and nothing of it is lost."""
        topic, publisher = broker.make_topic(), broker.make_publisher(broker.shortest_timeout_seconds)
        batch = records(topic, 20)
        send(publisher, batch[:10])
        with broker.answers_lost():
            expect_unavailable(publisher, batch[10:], broker.shortest_timeout_seconds)
        self._send_and_expect(broker, topic, publisher, batch[10:])

    def test_a_slow_broker_is_waited_for_and_nothing_is_sent_twice(self, broker: BrokerUnderTest) -> None:
        """What is late and within the limit is no failure."""
        topic, publisher = broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        batch = records(topic, 40)
        try:
            send(publisher, batch[:10])
            with broker.slow():
                outcomes = published(publisher, batch[10:])
        finally:
            publisher.close()
        expect(
            outcomes == [SENT] * 30, f"a slow broker was not waited for: {[one for one in outcomes if one != SENT][:3]}"
        )
        stored = [record.value for record in broker.stored(topic, 40)]
        expect(sorted(stored) == sorted(record.value for record in batch), f"not each once: {Counter(stored)}")

    def test_a_silent_broker_is_given_up_in_time_and_works_again(self, broker: BrokerUnderTest) -> None:
        """A connection that says nothing is not waited for without an end."""
        topic, publisher = broker.make_topic(), broker.make_publisher(broker.shortest_timeout_seconds)
        batch = records(topic, 20)
        send(publisher, batch[:10])
        with broker.silent():
            for _ in range(2):
                expect_unavailable(publisher, batch[10:], broker.shortest_timeout_seconds)
        self._send_and_expect(broker, topic, publisher, batch)

    def test_close_may_be_called_twice_and_before_anything_was_published(self, broker: BrokerUnderTest) -> None:
        """A scheduler that fails at its start closes what it was given."""
        topic = broker.make_topic()
        for uses in (0, 1):
            publisher = broker.make_publisher(PATIENT_SECONDS)
            if uses:
                send(publisher, records(topic, 5))
            publisher.close()
            publisher.close()

    def test_close_ends_what_is_in_flight(self, broker: BrokerUnderTest) -> None:
        """What is not acknowledged by then is not sent, and nobody waits beyond the limit."""
        topic, publisher = broker.make_topic(), broker.make_publisher(broker.shortest_timeout_seconds)
        send(publisher, records(topic, 5))
        outcomes: list[Outcome] = []
        with broker.silent():
            thread = threading.Thread(target=lambda: outcomes.extend(published(publisher, records(topic, 5))))
            thread.start()
            publisher.close()
            thread.join(broker.shortest_timeout_seconds + SLACK_SECONDS)
            expect(not thread.is_alive(), "a publish outlasts the end of its publisher")
        expect_kinds(outcomes, *[(Retry, Unavailable)] * 5)
        publisher.close()

    def _expect_apart(self, broker: BrokerUnderTest, other: str, kinds: tuple[type, ...]) -> None:
        """Expect outcomes of these kinds for the records of the other topic, and the rest of the batch sent."""
        topic, publisher = broker.make_topic(), broker.make_publisher(PATIENT_SECONDS)
        batch = records(topic, 18)
        batch[4], batch[13] = batch[4]._replace(topic=other), batch[13]._replace(topic=other)
        try:
            for part in (batch[:9], batch[9:]):  # of other ids each, for a broker may drop what it has had
                expect_kinds(published(publisher, part), *[Sent] * 4, kinds, *[Sent] * 4)
            expect_kinds(published(publisher, batch[4:5]), kinds)
        finally:
            publisher.close()
        expect_stored(broker.stored(topic, 16), [record for record in batch if record.topic == topic])

    def _send_and_expect(self, broker: BrokerUnderTest, topic: str, publisher: Publisher, batch: list[Record]) -> None:
        try:
            send(publisher, batch)
        finally:
            publisher.close()
        expect_stored(broker.stored(topic, len(batch)), batch)

"""The suite itself: the publisher in memory passes it, and publishers that break a promise do not."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest import SkipTest

import pytest

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Publisher, Record, Rejected, Retry, Unavailable
from asyncflow.testing import MemoryPublisher
from asyncflow.testing.publisher_suite import BrokerUnderTest, PublisherSuite

LIMIT = 100_000


class MemoryBroker(BrokerUnderTest):
    """Keep what publishers in memory send."""

    def __init__(self) -> None:
        self.kept: list[Record] = []
        self._trouble: Callable[[], Outcome] | None = None
        self._is_unheard = False
        self._of_topics: dict[str, Outcome] = {
            "unroutable": Retry("no route"),
            "full": Unavailable("full"),
            "forbidden": Rejected("forbidden"),
        }

    def make_publisher(self, timeout_seconds: float) -> Publisher:
        return MemoryPublisher(self.answer)

    def make_topic(self) -> str:
        return uuid.uuid4().hex

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        return [record for record in self.kept if record.topic == topic]

    def unroutable_topic(self) -> str:
        return "unroutable"

    def bytes_too_many(self) -> int:
        return LIMIT + 1

    def refusing_topic(self) -> str:
        return "full"

    def forbidden_topic(self) -> str:
        return "forbidden"

    @contextmanager
    def removed(self, topic: str) -> Iterator[None]:
        self._of_topics[topic] = Retry("no such topic")
        yield
        del self._of_topics[topic]

    @contextmanager
    def revoked(self, topic: str) -> Iterator[None]:
        self._of_topics[topic] = Rejected("forbidden")
        yield
        del self._of_topics[topic]

    @contextmanager
    def away(self) -> Iterator[None]:
        self._trouble = lambda: Unavailable("nobody is there")
        yield
        self._trouble = None

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._trouble = lambda: Unavailable("no answer in time")
        yield
        self._trouble = None

    @contextmanager
    def slow(self) -> Iterator[None]:
        yield

    @contextmanager
    def answers_lost(self) -> Iterator[None]:
        self._is_unheard = True
        yield
        self._is_unheard = False

    @contextmanager
    def cut_after(self, count_bytes: int) -> Iterator[None]:
        left = iter(range(count_bytes // 4000))

        def cut() -> Outcome:
            return Unavailable("cut off") if next(left, None) is None else SENT

        self._trouble = cut
        yield
        self._trouble = None

    def answer(self, record: Record) -> Outcome:
        trouble = SENT if self._trouble is None else self._trouble()
        if trouble != SENT:
            return trouble
        if len(record.value) > LIMIT:
            return Rejected("too large")
        outcome = self._of_topics.get(record.topic, SENT)
        if outcome == SENT:
            self.kept.append(record)
        return Unavailable("no answer in time") if self._is_unheard else outcome


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


class TestMemoryPublisher(PublisherSuite):
    """All of it."""


class Confirming(MemoryBroker):
    """Say Sent whatever becomes of a record, as a publisher that takes a confirm for a place in a queue."""

    def answer(self, record: Record) -> Outcome:
        super().answer(record)
        return SENT


class Forgetful(MemoryBroker):
    """Lose every tenth record that was sent."""

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        return [record for number, record in enumerate(super().stored(topic, count)) if number % 10 != 3]


class Turning(MemoryBroker):
    """Keep records in the wrong order."""

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        return super().stored(topic, count)[::-1]


class Cutting(MemoryBroker):
    """Keep no header."""

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        return [record._replace(headers=()) for record in super().stored(topic, count)]


class Hasty(MemoryBroker):
    """Send again what is not acknowledged at once."""

    @contextmanager
    def slow(self) -> Iterator[None]:
        before = len(self.kept)
        yield
        self.kept += self.kept[before:]


class Dropping(MemoryBroker):
    """Say Sent of what was taken in vain."""

    @contextmanager
    def answers_lost(self) -> Iterator[None]:
        kept = list(self.kept)
        yield
        self.kept = kept


SUITE = PublisherSuite()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Confirming, SUITE.test_an_unroutable_record_is_not_sent_and_its_neighbours_are),
        (Confirming, SUITE.test_a_record_too_large_is_rejected_and_its_neighbours_are_sent),
        (Confirming, SUITE.test_a_broker_that_is_away_at_the_start_costs_no_attempt_and_is_found_later),
        (Confirming, SUITE.test_what_is_sent_of_a_batch_that_was_cut_off_is_stored),
        (Forgetful, SUITE.test_what_is_published_is_stored),
        (Forgetful, SUITE.test_a_topic_that_is_removed_meanwhile_costs_its_own_records_alone_and_is_found_again),
        (Turning, SUITE.test_records_of_a_key_arrive_in_their_order),
        (Turning, SUITE.test_records_of_a_key_keep_their_order_when_the_connection_is_cut),
        (Confirming, SUITE.test_what_was_taken_and_could_not_be_acknowledged_is_not_sent_and_goes_again),
        (Dropping, SUITE.test_what_was_taken_and_could_not_be_acknowledged_is_not_sent_and_goes_again),
        (Hasty, SUITE.test_a_slow_broker_is_waited_for_and_nothing_is_sent_twice),
        (Cutting, SUITE.test_keys_values_and_headers_arrive_byte_for_byte),
    ],
)
def test_a_publisher_that_breaks_a_promise_does_not_pass(
    broken: type[MemoryBroker], test: Callable[[BrokerUnderTest], None]
) -> None:
    with pytest.raises(AssertionError):
        test(broken())


class Plain(BrokerUnderTest):
    """Have nothing but what every broker has."""

    def make_publisher(self, timeout_seconds: float) -> Publisher:
        return MemoryPublisher()

    def make_topic(self) -> str:
        return "topic"

    def stored(self, topic: str, count: int) -> Sequence[Record]:
        return []


def test_what_a_broker_cannot_be_made_to_do_is_skipped_with_the_reason() -> None:
    with pytest.raises(SkipTest, match="Plain cannot be silent"):
        SUITE.test_a_silent_broker_is_given_up_in_time_and_works_again(Plain())

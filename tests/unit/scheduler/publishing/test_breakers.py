"""Which failure speaks of the destination, and which of a topic."""

from __future__ import annotations

from asyncflow.events import BreakerChanged, Hooks
from asyncflow.scheduler import SENT, Outcome, Record, Unavailable
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.testing import Signals


class Clocked:
    def __init__(self) -> None:
        self.signals = Signals()
        self.now = 0.0
        settings = SchedulerSettings(breaker_pause_seconds=1, max_breaker_pause_seconds=8)
        self.breakers = Breakers("kafka", settings, Hooks([self.signals]), lambda: self.now)

    def report(self, seconds: float = 0.0, **outcomes: Outcome) -> None:
        self.report_many(list(outcomes.items()), seconds)

    def report_many(self, results: list[tuple[str, Outcome]], seconds: float = 0.0) -> None:
        self.now += seconds
        records = [Record(topic, None, b"", ()) for topic, _ in results]
        self.breakers.report(records, [outcome for _, outcome in results], seconds)

    def report_probe(self, topic: str, outcome: Outcome, seconds: float = 0.0) -> None:
        """Report an answer to others, and then a batch of the topic alone."""
        self.report(other=SENT)
        self.report(seconds, **{topic: outcome})

    def waits(self, *topics: str) -> list[float]:
        return [self.breakers.seconds_until_probe(topic) for topic in topics]

    def opened(self) -> list[str | None]:
        return [event.topic for event in self.signals.of(BreakerChanged) if event.state == "open"]


AWAY = Unavailable("no answer in time")
NAMED = Unavailable("NOT_ENOUGH_REPLICAS", is_of_topic=True)


def test_a_batch_of_which_nothing_was_sent_speaks_of_the_destination() -> None:
    it = Clocked()
    it.report(a=AWAY, b=AWAY)
    assert it.breakers.seconds_until_probe() == 1
    assert it.waits("a", "b") == [0, 0]


def test_a_stall_in_mid_batch_shuts_no_topic() -> None:
    it = Clocked()
    it.report(seconds=10, a=SENT, b=AWAY, c=AWAY)
    assert it.opened() == []
    assert it.waits("a", "b", "c") == [0, 0, 0]
    assert [it.breakers.is_probing_topic(topic) for topic in "abc"] == [False, True, True]
    it.report_probe("b", SENT, 0.01)
    it.report_probe("c", SENT, 0.01)
    assert [it.breakers.is_probing_topic(topic) for topic in "abc"] == [False, False, False]
    assert it.opened() == []


def test_a_stall_that_lasts_longer_than_a_batch_is_the_destinations() -> None:
    it = Clocked()
    it.report(seconds=10, a=SENT, b=AWAY)
    it.report(seconds=10, b=AWAY)  # no other was acknowledged just before
    assert it.opened() == [None]
    assert it.waits("a", "b") == [0, 0]


def test_a_topic_whose_record_failed_alone_while_others_were_acknowledged_is_shut() -> None:
    it = Clocked()
    it.report(a=AWAY, b=SENT)
    it.report_probe("a", AWAY)
    assert it.breakers.seconds_until_probe() == 0
    assert it.waits("a", "b") == [1, 0]
    (opened,) = it.signals.of(BreakerChanged)
    assert (opened.destination, opened.topic, opened.state) == ("kafka", "a", "open")


def test_a_topic_of_which_one_partition_is_away_is_shut_although_single_records_pass() -> None:
    it = Clocked()
    it.report(seconds=10, a=AWAY, b=SENT)
    it.report_probe("a", SENT)
    assert it.breakers.apart([Record("a", None, b"", ()), Record("b", None, b"", ())]) == {"a"}
    it.report(b=SENT)
    it.report_many([("a", SENT), ("a", AWAY)], seconds=10)
    assert it.waits("a", "b") == [10, 0]


def test_a_topic_that_answered_several_records_at_once_is_sent_with_the_others_again() -> None:
    it = Clocked()
    it.report(a=AWAY, b=SENT)
    it.report_probe("a", SENT)
    it.report_many([("a", SENT), ("a", SENT)])
    assert it.breakers.apart([Record("a", None, b"", ())]) == set()


def test_a_failure_that_names_the_topic_leaves_the_destination_alone() -> None:
    it = Clocked()
    it.report(a=NAMED)
    assert it.breakers.seconds_until_probe() == 0
    assert it.waits("a", "b") == [1, 0]


def test_a_named_topic_is_not_charged_for_a_stall_beside_it() -> None:
    it = Clocked()
    it.report(seconds=10, a=NAMED, b=AWAY, c=SENT)
    assert it.waits("a", "b", "c") == [1, 0, 0]


def test_a_topic_half_opens_for_one_probe_and_closes_when_it_answers() -> None:
    it = Clocked()
    it.report(a=NAMED, b=SENT)
    assert it.breakers.is_probing_topic("a")
    it.now = 1.5
    assert it.waits("a") == [0]
    assert it.breakers.states() == {"kafka": "closed", "kafka/a": "half-open"}
    it.report(a=SENT)
    assert not it.breakers.is_probing_topic("a")
    assert it.breakers.states() == {"kafka": "closed"}
    assert [(event.topic, event.state) for event in it.signals.of(BreakerChanged)] == [
        ("a", "open"),
        ("a", "half-open"),
        ("a", "closed"),
    ]


def test_the_pauses_of_a_topic_double() -> None:
    it = Clocked()
    it.report(a=AWAY, b=SENT)
    pauses = []
    for _ in range(5):
        it.report_probe("a", AWAY)
        (wait,) = it.waits("a")
        pauses.append(wait)
        it.now += wait
        it.waits("a")
    assert pauses == [1, 2, 4, 8, 8]


def test_a_topic_whose_probes_take_long_is_probed_seldom() -> None:
    it = Clocked()
    it.report(seconds=10, a=AWAY, b=SENT)
    it.report_probe("a", AWAY, seconds=10)
    assert it.waits("a") == [10]  # the destination itself may have stalled in that moment
    it.now += 10
    assert it.waits("a") == [0]
    it.report_probe("a", AWAY, seconds=10)
    assert it.waits("a") == [90]


def test_a_topic_that_fails_again_when_nobody_else_has_anything_to_send_is_not_kept_away_for_long() -> None:
    it = Clocked()
    it.report(a=NAMED)
    it.now += 1
    it.waits("a")
    it.report(seconds=10, a=AWAY)
    assert it.opened() == ["a", "a"]
    assert it.waits("a") == [2]


def test_who_asks_for_a_pause_has_it_the_destination_as_well_as_a_topic() -> None:
    it = Clocked()
    it.report(a=Unavailable("429", after_seconds=30), b=AWAY)
    assert it.breakers.seconds_until_probe() == 30
    it.now += 30
    it.report(a=Unavailable("429", is_of_topic=True, after_seconds=60), b=SENT)
    assert it.breakers.seconds_until_probe() == 0
    assert it.waits("a", "b") == [60, 0]


def test_nobody_has_a_pause_of_more_than_a_day() -> None:
    it = Clocked()
    it.report(a=Unavailable("429", after_seconds=float("inf")))
    assert it.breakers.seconds_until_probe() == 86400

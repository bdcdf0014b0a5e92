"""Which failure speaks of the destination, and which of a topic."""

from __future__ import annotations

from asyncflow.outbox.events import BreakerChanged, Hooks
from asyncflow.scheduler import SENT, Outcome, Record, Unavailable
from asyncflow.scheduler.breakers import Breakers
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.testing import Signals


class Clocked:
    def __init__(self) -> None:
        self.signals = Signals()
        self.now = 0.0
        settings = SchedulerSettings(breaker_pause_seconds=1, max_breaker_pause_seconds=8)
        self.breakers = Breakers("kafka", settings, Hooks([self.signals]), lambda: self.now)

    def report(self, seconds: float = 0.0, **outcomes: Outcome) -> None:
        records = [Record(topic, None, b"", ()) for topic in outcomes]
        self.breakers.report(records, list(outcomes.values()), seconds)

    def waits(self, *topics: str) -> list[float]:
        return [self.breakers.seconds_until_probe(topic) for topic in topics]


AWAY = Unavailable("no answer in time")


def test_a_batch_of_which_nothing_was_sent_speaks_of_the_destination():
    it = Clocked()
    it.report(a=AWAY, b=AWAY)
    assert it.breakers.seconds_until_probe() == 1
    assert it.waits("a", "b") == [0, 0]


def test_what_was_not_sent_beside_what_was_speaks_of_its_topic():
    it = Clocked()
    it.report(a=AWAY, b=SENT)
    assert it.breakers.seconds_until_probe() == 0
    assert it.waits("a", "b") == [1, 0]
    (opened,) = it.signals.of(BreakerChanged)
    assert (opened.destination, opened.topic, opened.state) == ("kafka", "a", "open")


def test_a_failure_that_names_the_topic_leaves_the_destination_alone():
    it = Clocked()
    it.report(a=Unavailable("NOT_ENOUGH_REPLICAS", is_of_topic=True))
    assert it.breakers.seconds_until_probe() == 0
    assert it.waits("a", "b") == [1, 0]


def test_a_topic_half_opens_for_one_probe_and_closes_when_it_answers():
    it = Clocked()
    it.report(a=AWAY, b=SENT)
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


def test_the_pauses_of_a_topic_double():
    it = Clocked()
    pauses = []
    for _ in range(5):
        it.report(a=AWAY, b=SENT)
        (wait,) = it.waits("a")
        pauses.append(wait)
        it.now += wait
        it.waits("a")
    assert pauses == [1, 2, 4, 8, 8]


def test_a_topic_whose_probes_take_long_is_probed_seldom():
    it = Clocked()
    it.report(seconds=10, a=AWAY, b=SENT)
    assert it.waits("a") == [90]

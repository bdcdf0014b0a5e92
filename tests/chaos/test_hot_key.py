"""One key with a backlog of 30,000: its neighbours have theirs almost as soon as without it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median

import pytest
from sqlalchemy import Engine, MetaData

from asyncflow import Message, Outbox, Scheduler
from asyncflow.outbox.ids import shard_of_key
from asyncflow.scheduler import Outcome, Publisher, Record, Sent
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_servers
from tests.chaos.publishers import publisher_of
from tests.chaos.topics import bootstrap, on_mock
from tests.unit.scheduler.waiting import eventually

HOT = b"hot"
NEIGHBOURS, OF_EACH = 20, 50
_GOAL = 1.2
_DRAIN_SECONDS = 8.0


class Watch:
    """Note what of the hot key was acknowledged, in order, and when the last of all others was.

    The client outlasts the scheduler: how long it takes to connect is not the question.
    """

    def __init__(self, publisher: Publisher) -> None:
        self.of_hot: list[int] = []
        self.of_others = 0
        self.others_at = 0.0
        self._publisher = publisher

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        outcomes = self._publisher.publish(batch)
        for record, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Sent):
                continue
            if record.key == HOT:
                self.of_hot.append(int(record.value))
            else:
                self.of_others += 1
                self.others_at = time.monotonic()
        return outcomes

    def close(self) -> None:
        """Leave the client open."""


@dataclass
class Run:
    """Hold where the rounds of one test take place, and for how long the hot key is watched after the others."""

    engine: Engine
    topic: str
    publisher: Publisher
    drain_seconds: float


@pytest.mark.alone
@on_servers
@in_short_and_long
def test_20_neighbours_of_a_key_with_a_backlog_have_theirs_almost_as_soon_as_without_it(
    form: str, engine: Engine, topic: str, finding: Tell
) -> None:
    rows, fewest, most = (30_000, 3, 6) if form == "long" else (6_000, 2, 6)
    times: dict[bool, list[float]] = {False: [], True: []}
    rates: list[float] = []
    with closing(publisher_of("confluent-kafka", bootstrap(), on_mock=on_mock())) as publisher:
        run = Run(engine, topic, publisher, _DRAIN_SECONDS if form == "long" else 0.0)
        seconds_of_the_others(run, 0)
        for number in range(most):
            for is_hot in (False, True) if number % 2 else (True, False):
                seconds, rate = seconds_of_the_others(run, rows if is_hot else 0)
                times[is_hot].append(seconds)
                rates += [rate] if is_hot else []
            if number + 1 >= fewest and are_unhindered(times):
                break
    without, beside = median(times[False]), median(times[True])
    finding(
        f"{NEIGHBOURS} neighbours with {OF_EACH} messages each: {beside:.2f} s beside a key with {rows:,}, "
        f"{without:.2f} s without, ratio {beside / without:.2f} (goal: at most {_GOAL})"
    )
    if run.drain_seconds:
        finding(f"the key with {rows:,}: {median(rates):,.0f} a second in its first {run.drain_seconds:.0f} s")
    assert are_unhindered(times)


def are_unhindered(times: dict[bool, list[float]]) -> bool:
    """Return whether one round beside the hot key was about as quick as one without it.

    A scheduler that starts reads past the backlog once, and sets it aside while it works: tenths of a second, which
    as a ratio of short times tell little. Neighbours that waited for the backlog would do so in every round.
    """
    return min(times[True]) <= 1.5 * min(times[False]) + 1.0


def seconds_of_the_others(run: Run, hot: int) -> tuple[float, float]:
    """Return how long a scheduler that starts has work with the neighbours, and how many of the hot key go a second."""
    engine = run.engine
    metadata = MetaData()
    outbox = Outbox(metadata)
    outbox.message("moved", topic=run.topic, ordered=True)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    for first in range(0, hot, 1000):
        with engine.begin() as connection:
            messages = [Message(str(number).encode(), key="hot") for number in range(first, first + 1000)]
            outbox.publish_many(connection, "moved", messages)
    for _ in range(OF_EACH):
        with engine.begin() as connection:
            keys = neighbours(outbox)
            outbox.publish_many(connection, "moved", [Message(b"0", key=key) for key in keys])
    watch = Watch(run.publisher)
    began = time.monotonic()
    with Scheduler(engine, outbox, {"kafka": watch}):
        eventually(lambda: watch.of_others >= NEIGHBOURS * OF_EACH)
        if hot:
            time.sleep(run.drain_seconds)
        rate = len(watch.of_hot) / (time.monotonic() - began)
    assert watch.of_hot == list(range(len(watch.of_hot)))
    return watch.others_at - began, rate


def neighbours(outbox: Outbox) -> list[str]:
    shard = shard_of_key("hot", outbox.shard_count)
    others = (f"n{number}" for number in itertools.count())
    return list(itertools.islice((key for key in others if shard_of_key(key, outbox.shard_count) == shard), NEIGHBOURS))

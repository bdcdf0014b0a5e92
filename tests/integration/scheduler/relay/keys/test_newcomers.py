"""What is committed while the waves of a hot key go on: it joins the round, and each key keeps its order."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Select, select

from asyncflow import Status
from asyncflow.outbox.ids import shard_of_key
from asyncflow.scheduler import Outcome, Record, Retry, Unavailable
from asyncflow.scheduler.relay import newcomers
from tests.integration.conftest import Schedule
from tests.integration.scheduler.relay.test_order import (
    MOVED,
    NO_WAIT,
    Ledger,
    declare,
    enqueue,
    neighbours_of,
    parked,
    rounds,
)
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

PLAIN = "plain.moved"
ROWS = 200


class Busy(Ledger):
    """Call ``meanwhile`` while each batch is published: what that commits comes between two waves."""

    def __init__(self, refuse: Callable[[str, int], Outcome | None] = lambda key, number: None) -> None:
        super().__init__(refuse)
        self.meanwhile: Callable[[], None] = lambda: None

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        outcomes = super().publish(batch)
        self.meanwhile()
        return outcomes


@pytest.fixture
def _looks_between_all_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "_LEAST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(newcomers, "_PAUSE_AFTER_LOOK", 0.0)
    monkeypatch.setattr(newcomers, "_UNANNOUNCED_SECONDS", -1.0)


pytestmark = pytest.mark.usefixtures("_looks_between_all_waves")


def with_a_hot_key(application: Application) -> list[str]:
    """Let a key have a backlog; return some of its neighbours, which have nothing yet."""
    declare(application, max_retries=100, **NO_WAIT)
    application.outbox.message(PLAIN, max_retries=100, **NO_WAIT)
    enqueue(application, "hot", *range(ROWS))
    return neighbours_of("hot", 3, application.outbox.shard_count)


def test_who_comes_while_a_hot_key_goes_on_joins_it_in_the_same_round(
    application: Application, schedule: Schedule
) -> None:
    ledger, keys = Busy(), with_a_hot_key(application)
    scheduler = schedule(ledger, round_size=40)
    rounds(scheduler, 3)  # it is read by itself, and nothing of it is in the way
    relay, numbers, began = scheduler.relays[0], itertools.count(), len(ledger.batches)

    def meanwhile() -> None:
        if len(ledger.batches) - began in (2, 4, 6):
            number = next(numbers)
            for key in keys:
                enqueue(application, key, number)
            enqueue(application, "plain", number, task_type=PLAIN)
            relay.expect_work(frozenset((MOVED, PLAIN)))

    ledger.meanwhile = meanwhile
    rounds(scheduler, 1)
    waves = [[name for name in wave if name[0] != "hot"] for wave in ledger.batches[began:]]
    for place, number in ((2, 0), (4, 1), (6, 2)):
        assert sorted(waves[place]) == sorted((key, number) for key in [*keys, "plain"])
    assert sum(map(len, waves)) == 3 * 4
    assert len(application.rows(pending(application))) == ROWS - len(ledger.arrived["hot"])
    ledger.meanwhile = lambda: None
    scheduler.drain()
    assert ledger.arrived == {"hot": list(range(ROWS)), **{key: [0, 1, 2] for key in [*keys, "plain"]}}
    assert parked(application) == []


def test_nobody_joins_from_a_shard_that_is_another_instance_s(application: Application, schedule: Schedule) -> None:
    ledger, keys = Busy(), with_a_hot_key(application)
    shard_count = application.outbox.shard_count
    here = shard_of_key("hot", shard_count) % 2
    elsewhere = next(key for key in map(str, itertools.count()) if shard_of_key(key, shard_count) % 2 != here)
    scheduler = schedule(ledger, round_size=40, instance_index=here, instance_count=2)
    rounds(scheduler, 3)

    def meanwhile() -> None:
        if not ledger.arrived.get(keys[0]):
            enqueue(application, elsewhere, *range(3))
            enqueue(application, keys[0], 0)
            scheduler.relays[0].expect_work(frozenset((MOVED,)))

    ledger.meanwhile = meanwhile
    rounds(scheduler, 20)
    assert ledger.arrived[keys[0]]
    assert elsewhere not in ledger.arrived


@pytest.mark.parametrize("seed", range(6))
def test_whoever_joins_and_whatever_fails_each_key_keeps_its_order(
    seed: int, application: Application, schedule: Schedule
) -> None:
    chance = random.Random(seed)
    ledger = Busy(lambda key, number: refusal(chance) if chance.random() < 0.05 else None)
    keys = ["hot", *with_a_hot_key(application)]
    counts = Counter(hot=ROWS)
    scheduler = schedule(ledger, round_size=40, breaker_pause_seconds=0.001, max_breaker_pause_seconds=0.001)

    def meanwhile() -> None:
        if counts.total() < 2 * ROWS and chance.random() < 0.2:
            key = chance.choice([*keys, "plain"])
            more = chance.choice((1, 1, 3))
            numbers = range(counts[key], counts[key] + more)
            enqueue(application, key, *numbers, task_type=PLAIN if key == "plain" else MOVED)
            counts[key] += more
            scheduler.relays[0].expect_work(frozenset((MOVED, PLAIN)))

    ledger.meanwhile = meanwhile
    scheduler.ownership.acquire()
    eventually(lambda: scheduler.relays[0].step() >= 0 and not application.rows(pending(application)))
    assert {key: len(numbers) for key, numbers in ledger.arrived.items()} == counts
    assert all(ledger.arrived[key] == list(range(counts[key])) for key in keys)
    assert sorted(ledger.arrived["plain"]) == list(range(counts["plain"]))
    assert parked(application) == []


def refusal(chance: random.Random) -> Outcome:
    return chance.choice((Retry("no"), Unavailable("gone for a moment")))


def pending(application: Application) -> Select[Any]:
    tasks = application.outbox.tasks
    return select(tasks.c.id).where(tasks.c.status == int(Status.PENDING))

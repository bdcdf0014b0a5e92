"""The waves of a round after the first: each is timed, and none goes when the shards are lost or it took too long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from asyncflow.outbox import MessageType, Task
from asyncflow.scheduler.publishing.order import Key
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.waves import LaterWaves, Waves

MOVED = MessageType(name="moved", destination="kafka", topic="moved", ordered=True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def task(number: int, key: str) -> Task:
    values: dict[str, Any] = dict.fromkeys(Task._fields)
    return Task(**{**values, "raw_id": number, "task_type": "moved", "key": key, "retry_count": 0, "max_retries": 3})


def go(waves: Waves, later: LaterWaves, clock: Clock, seconds: Iterator[float]) -> None:
    """Let all waves be acknowledged, each after its seconds."""
    while waves.places:
        clock.now += next(seconds)
        waves.take_in([SENT] * len(waves.places))
        if waves.places and (reason := later.why_none()):
            waves.end(Unavailable(reason))


@pytest.mark.parametrize("first", [0.0, 0.03, 0.05, 0.5, 30.0])
def test_what_the_first_wave_took_is_not_charged_to_those_that_follow(first: float) -> None:
    clock, waves = Clock(), Waves([task(number, "hot") for number in range(40)], {"moved": MOVED})
    later = LaterWaves(lambda: True, clock)
    go(waves, later, clock, iter([first, *[0.001] * 39]))
    assert waves.outcomes == [SENT] * 40
    assert later.seconds_each() == pytest.approx(0.001)


def test_a_round_of_one_wave_tells_nothing_of_those_that_follow() -> None:
    clock, waves = Clock(), Waves([task(number, str(number)) for number in range(40)], {"moved": MOVED})
    later = LaterWaves(lambda: True, clock)
    go(waves, later, clock, iter([5.0]))
    assert waves.outcomes == [SENT] * 40
    assert later.seconds_each() is None


def test_a_round_ends_when_its_destination_becomes_slow_in_the_middle() -> None:
    clock, waves = Clock(), Waves([task(number, "hot") for number in range(512)], {"moved": MOVED})
    later = LaterWaves(lambda: True, clock)
    go(waves, later, clock, iter([0.0002] * 100 + [0.5] * 412))
    sent = waves.outcomes.count(SENT)
    assert (sent, waves.outcomes[:sent]) == (102, [SENT] * 102)
    # Unavailable, not None: so nothing is written of them, and the same rows come again.
    assert set(waves.outcomes[sent:]) == {Unavailable("the round had its time; they go in the next one")}


def test_a_round_sends_its_first_wave_and_another_however_long_they_take() -> None:
    clock, waves = Clock(), Waves([task(number, "hot") for number in range(5)], {"moved": MOVED})
    go(waves, LaterWaves(lambda: True, clock), clock, iter([60.0] * 5))
    assert waves.outcomes.count(SENT) == 2


def test_no_wave_follows_when_the_shards_were_lost() -> None:
    clock, waves = Clock(), Waves([task(number, "hot") for number in range(3)], {"moved": MOVED})
    later = LaterWaves(lambda: False, clock)
    go(waves, later, clock, iter([0.001] * 3))
    assert waves.outcomes == [SENT, *[Unavailable("the lease on the shard ran out")] * 2]
    assert later.seconds_each() is None


def test_who_joins_goes_in_the_next_wave_and_behind_those_of_its_key() -> None:
    waves = Waves([task(0, "hot"), task(1, "hot"), task(2, "hot"), task(3, "other")], {"moved": MOVED})
    assert waves.left == 3
    waves.take_in([SENT, SENT])
    waves.join([task(4, "hot"), task(5, "other"), task(6, "new"), task(7, "new")])
    assert (waves.places, waves.left) == ([1, 5, 6], 3)
    waves.take_in([SENT] * 3)
    assert waves.places == [2, 7]
    waves.take_in([SENT] * 2)
    assert waves.places == [4]
    waves.take_in([SENT])
    assert (waves.places, waves.outcomes) == ([], [SENT] * 8)


@pytest.mark.parametrize("outcome", [Retry("no"), Rejected("never"), Unavailable("gone")])
def test_of_a_key_of_which_one_did_not_go_no_other_joins(outcome: Outcome) -> None:
    waves = Waves([task(0, "hot"), task(1, "hot"), task(2, "other")], {"moved": MOVED})
    waves.take_in([SENT, outcome])
    assert waves.lets_join(Key("moved", "hot"))
    assert waves.lets_join(Key("moved", "new"))
    assert not waves.lets_join(Key("moved", "other"))


def test_nothing_that_joined_goes_when_the_shards_were_lost_meanwhile() -> None:
    waves = Waves([task(0, "hot"), task(1, "hot")], {"moved": MOVED, "plain": replace(MOVED, ordered=False)})
    waves.take_in([SENT])
    waves.join([task(2, "new"), task(3, "any")._replace(task_type="plain")])
    waves.end(Unavailable("lost"))
    assert waves.outcomes == [SENT, *[Unavailable("lost")] * 3]

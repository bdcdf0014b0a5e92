"""The waves of a round after the first: each is timed, and none goes when the shards are lost or it took too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asyncflow.outbox import MessageType, Task
from asyncflow.scheduler.publishing.publisher import SENT, Unavailable
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

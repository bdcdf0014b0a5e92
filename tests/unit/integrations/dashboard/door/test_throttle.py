"""Guessing passwords becomes hopeless, and costs nobody else anything."""

from __future__ import annotations

from asyncflow.integrations.dashboard.door.throttle import Throttle

ME = {"address 10.0.0.1": 5}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_attempts_are_free_and_each_further_one_waits_longer() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    assert [throttle.begin(ME) for _ in range(5)] == [0.0] * 5
    waits = []
    for _ in range(12):
        wait = throttle.begin(ME)
        waits.append(wait)
        clock.now += wait
        assert throttle.begin(ME) == 0.0
    assert waits[0] == 2.0
    assert waits == sorted(waits)
    assert waits[-1] == 900.0


def test_a_day_of_guessing_is_a_hundred_passwords() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    guesses = 0
    while clock.now < 86400:
        wait = throttle.begin(ME)
        guesses += not wait
        clock.now += wait or 0.001
    assert guesses < 130


def test_a_hundred_attempts_at_once_are_no_hundred_free_ones() -> None:
    throttle = Throttle(Clock())
    assert sum(throttle.begin(ME) == 0.0 for _ in range(100)) == 5


def test_who_knows_the_password_is_free_again() -> None:
    throttle = Throttle(Clock())
    for _ in range(5):
        throttle.begin(ME)
    throttle.succeed(ME)
    assert throttle.begin(ME) == 0.0


def test_others_are_not_slowed() -> None:
    throttle = Throttle(Clock())
    for _ in range(50):
        throttle.begin(ME)
    assert throttle.begin({"address 10.0.0.2": 5}) == 0.0


def test_what_is_remembered_is_bounded() -> None:
    throttle = Throttle(Clock())
    for number in range(30_000):
        throttle.begin({f"address {number}": 5})
    assert len(throttle._failed) <= 10_000

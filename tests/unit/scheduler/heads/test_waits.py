"""How long rows had been due is computed for who asks, and for nobody else."""

from __future__ import annotations

from typing import Any

from asyncflow.scheduler.heads.queries import Moments
from asyncflow.scheduler.heads.waits import DueMoments, Waits
from asyncflow.scheduler.table.timed_ids import Cut

NOW = 1_000_000_000.0


class Reading:
    """Count how many moments are read."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, text: Any) -> int:
        self.count += 1
        return int(text)


def moments(reading: Reading, **seconds_ago: float) -> Moments:
    timed = [f"{name}{round((NOW - ago) * 1e6)}" for name, ago in seconds_ago.items()]
    return Moments(timed, Cut(1, reading))


def test_of_settled_rows_it_is_told_how_long_they_had_been_due() -> None:
    due_times = DueMoments([moments(Reading(), a=2.5, b=0.25), moments(Reading(), c=60.0)], NOW)
    assert list(Waits((due_times, ["c", "a"]))) == [60.0, 2.5]
    assert due_times.of("b") == 0.25


def test_what_is_not_known_is_left_out() -> None:
    due_times = DueMoments([moments(Reading(), a=2.5)], NOW)
    assert list(Waits((due_times, ["a", "read by its key"]))) == [2.5]
    assert due_times.of("read by its key") is None
    assert list(Waits((DueMoments([moments(Reading(), a=2.5)], None), ["a"]))) == []


def test_a_row_that_is_ahead_of_the_clock_has_not_waited() -> None:
    assert list(Waits((DueMoments([moments(Reading(), a=-1.0)], NOW), ["a"]))) == [0.0]


def test_how_waits_spread_over_bounds_is_what_they_come_to_one_by_one() -> None:
    bounds = (0.01, 0.25, 1.0, 60.0)
    ago = {"a": 0.01, "b": 0.010001, "c": 0.25, "d": 59.999999, "e": 60.0, "f": 61.5, "g": -3.0, "h": 0.0}
    one = DueMoments([moments(Reading(), **ago)], NOW)
    other = DueMoments([moments(Reading(), i=0.5)], NOW + 1.0)
    unknown = DueMoments([moments(Reading(), j=1.0)], None)
    waits = Waits(
        (one, ["h", "b", "a", "f", "by its key"]), (other, ["i"]), (unknown, ["j"]), (one, ["g", "e", "d", "c"])
    )
    told = waits.spread(bounds)
    assert told.number == len(waits) == 9
    assert told.within == [sum(wait <= bound for wait in waits) for bound in bounds] == [3, 5, 5, 8]
    assert round(told.seconds, 6) == round(sum(waits), 6)
    assert Waits().spread(bounds) == (0, [0] * 4, 0)


def test_nothing_is_computed_before_somebody_asks_and_then_once() -> None:
    reading = Reading()
    waits = Waits((DueMoments([moments(reading, a=1.0, b=2.0)], NOW), ["a", "b"]))
    assert reading.count == 0
    assert (max(waits), waits[0], waits[:1], len(waits)) == (2.0, 1.0, [1.0], 2)
    assert reading.count == 2
    assert repr(waits) == "2 of 2.000 at most"

from __future__ import annotations

import pytest

from asyncflow.events import TasksSettled
from asyncflow.scheduler.telling.recollection import Recollection
from asyncflow.scheduler.upkeep.cleaning_pace import CleanedBatch, CleaningPace

DAY = 86400.0
QUICK = CleanedBatch(500, 0.03, 60.0, DAY)
SLOW = QUICK._replace(seconds=0.3)


class Lag:
    """Be so long; none at first."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def lag() -> Lag:
    return Lag()


@pytest.fixture
def pace(lag: Lag) -> CleaningPace:
    return CleaningPace(0.05, lag, 500, 2000)


def pauses(pace: CleaningPace, *batches: CleanedBatch) -> list[float]:
    found = []
    for batch in batches:
        pace.note(batch)
        found.append(pace.pause_seconds)
    return found


def test_without_load_the_pause_is_the_set_one(pace: CleaningPace) -> None:
    assert pauses(pace, *[QUICK] * 5) == [0.05] * 5
    assert pace.told() == (60.0, 0.0)


def test_while_tasks_lag_the_pause_doubles_up_to_a_bound_and_halves_again_behind_that(
    pace: CleaningPace, lag: Lag
) -> None:
    lag.seconds = 3.0
    assert pauses(pace, *[QUICK] * 6) == [0.1, 0.2, 0.4, 0.8, 0.8, 0.8]
    assert pace.told() == (60.0, 0.8)
    lag.seconds = 0.0
    assert pauses(pace, *[QUICK] * 5) == [0.4, 0.2, 0.1, 0.05, 0.05]


def test_a_batch_that_takes_much_longer_than_usual_is_followed_by_a_longer_pause(pace: CleaningPace) -> None:
    assert pauses(pace, QUICK, SLOW, SLOW, QUICK) == [0.05, 0.1, 0.2, 0.1]


def test_a_database_that_has_become_slow_for_good_is_the_usual_one_in_the_end(pace: CleaningPace) -> None:
    assert pauses(pace, QUICK, *[SLOW] * 80)[-1] == 0.05


def test_a_small_batch_makes_no_large_one_look_slow(pace: CleaningPace) -> None:
    small = QUICK._replace(rows=3, seconds=0.004)
    assert pauses(pace, *[small] * 5, QUICK) == [0.05] * 6


@pytest.mark.parametrize(("behind", "kept"), [(1800.0, DAY), (10.0, 10.0)])
def test_who_is_behind_gives_way_no_longer(behind: float, kept: float, pace: CleaningPace, lag: Lag) -> None:
    lag.seconds = 3.0
    late = QUICK._replace(behind_seconds=behind, kept_seconds=kept)
    assert pauses(pace, QUICK, QUICK, late) == [0.1, 0.2, 0.05]


def test_nothing_is_behind_when_nothing_is_left(pace: CleaningPace) -> None:
    pauses(pace, QUICK)
    pace.note_nothing_left()
    assert pace.told() == (0.0, 0.0)


LATE = QUICK._replace(behind_seconds=1800.0)


def sizes(pace: CleaningPace, *batches: CleanedBatch) -> list[int]:
    found = []
    for batch in batches:
        pace.note(batch._replace(rows=pace.rows))
        found.append(pace.rows)
    return found


def test_who_is_far_behind_takes_larger_batches_and_the_set_ones_when_it_has_caught_up(pace: CleaningPace) -> None:
    assert sizes(pace, QUICK, *[LATE] * 4) == [500, 1000, 2000, 2000, 2000]
    half = LATE._replace(behind_seconds=900.0)
    assert sizes(pace, half, half) == [2000, 2000]
    assert sizes(pace, *[QUICK] * 3) == [1000, 500, 500]


def test_behind_a_large_batch_the_pause_is_longer_and_gives_way_to_no_load(pace: CleaningPace, lag: Lag) -> None:
    lag.seconds = 3.0
    assert pauses(pace, *[LATE] * 3) == [0.05, 0.1, 0.1]
    assert pace.told() == (1800.0, 0.0)
    lag.seconds = 0.0
    assert pauses(pace, *[QUICK] * 3) == [0.05] * 3


@pytest.mark.parametrize(("seconds", "expected"), [(0.3, 1000), (0.5, 500)])
def test_a_batch_grows_no_further_than_to_a_short_transaction(
    seconds: float, expected: int, pace: CleaningPace
) -> None:
    assert sizes(pace, LATE, *[LATE._replace(seconds=seconds)] * 3)[-1] == expected


def test_where_no_more_is_left_the_batches_are_the_set_ones(pace: CleaningPace) -> None:
    last = LATE._replace(kept_seconds=0.0, has_more=False)
    assert sizes(pace, LATE, LATE, last, last, last) == [1000, 2000, 1000, 500, 500]
    sizes(pace, LATE)
    pace.note_nothing_left()
    assert pace.rows == 500


def test_beside_large_batches_the_set_ones_do_not_look_slow(pace: CleaningPace) -> None:
    large = LATE._replace(rows=2000, seconds=0.03)
    pauses(pace, QUICK, *[large] * 5)
    assert pauses(pace, *[QUICK] * 3)[-1] == 0.05


def test_the_lag_is_that_of_the_tasks_settled_last_and_forgotten_after_a_while() -> None:
    now = [1000.0]
    lately = Recollection(lambda: now[0])
    assert lately.lag_seconds() == 0.0
    lately(TasksSettled("kafka", 2, 0, 0, 0.1, waits=(4.0, 2.0)))
    assert lately.lag_seconds() == 4.0
    now[0] += 60
    assert lately.lag_seconds() == 0.0

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
    return CleaningPace(0.05, lag)


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


def test_the_lag_is_that_of_the_tasks_settled_last_and_forgotten_after_a_while() -> None:
    now = [1000.0]
    lately = Recollection(lambda: now[0])
    assert lately.lag_seconds() == 0.0
    lately(TasksSettled("kafka", 2, 0, 0, 0.1, waits=(4.0, 2.0)))
    assert lately.lag_seconds() == 4.0
    now[0] += 60
    assert lately.lag_seconds() == 0.0

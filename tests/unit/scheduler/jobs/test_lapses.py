"""A lease that lapses for a moment costs no tick, and lets no item run twice at once: nobody else has had it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import pytest

from asyncflow import SimpleJob
from asyncflow.events import Hooks
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.jobs.board import Board
from asyncflow.scheduler.jobs.run import Assignment
from asyncflow.scheduler.jobs.runner import JobRunner
from asyncflow.scheduler.jobs.summons import Summons

OURS, OTHERS = {0: 4}, {0: 6}


@pytest.fixture
def board() -> Board:
    made = Board(latches_misfires=True)
    assert [place.item for place in made.adopt(OURS)] == [0]
    return made


@pytest.mark.parametrize("ticks_before_lapse", [True, False])
def test_a_tick_that_meets_a_lapse_is_answered_when_the_item_is_back(board: Board, ticks_before_lapse: bool) -> None:
    if ticks_before_lapse:
        board.tick(1.0)
    board.adopt({})
    if not ticks_before_lapse:
        board.tick(1.0)
    assert board.take_due(2.0) is None
    assert board.adopt(OURS) == []
    assert board.take_due(2.0) is not None
    assert board.take_due(2.0) is None


def test_a_tick_of_before_others_had_the_item_is_theirs(board: Board) -> None:
    board.tick(1.0)
    board.adopt({})
    assert [place.epoch for place in board.adopt(OTHERS)] == [6]
    assert board.take_due(2.0) is None


def test_an_item_whose_batch_is_in_hand_as_it_lapses_is_not_taken_a_second_time(board: Board) -> None:
    board.tick(1.0)
    place = board.take_due(1.0)
    assert place is not None
    board.adopt({})
    board.tick(2.0)
    board.adopt(OURS)
    assert board.take_due(2.0) is None
    board.finish(place, 3.0)
    assert board.take_due(3.0) is place  # for the tick that came during the run


def test_what_is_switched_off_while_it_is_away_does_not_run_when_it_is_back(board: Board) -> None:
    board.tick(1.0)
    board.adopt({})
    board.disable(board.items())
    board.adopt(OURS)
    assert board.take_due(2.0) is None
    board.disable([])
    assert board.take_due(2.0) is None


class _Share:
    """Own item 0, but for the looks whose numbers are ``lapses``."""

    owner = job = "test"

    def __init__(self, *lapses: int) -> None:
        self.looks = 0
        self._lapses = lapses

    def epochs(self) -> Mapping[int, int]:
        self.looks += 1
        return {} if self.looks in self._lapses else OURS

    def in_use(self) -> Hold:
        return Hold(self.epochs(), lambda _: None)

    def acquire(self) -> None: ...

    def await_share(self) -> None: ...

    def with_leases(self, work: Callable[[], object]) -> None:
        work()

    def refresh(self) -> None: ...

    def release(self) -> None: ...


@pytest.mark.parametrize("lapses", [(2,), (2, 3, 4), (3,)], ids=["as it begins", "for some looks", "behind it"])
def test_a_job_runs_once_for_a_tick_however_its_lease_lapses(lapses: tuple[int, ...]) -> None:
    ran = threading.Event()
    counts: list[int] = []

    def work(_: object) -> None:
        counts.append(1)
        ran.set()

    runner = _runner(SimpleJob("job", work, cron=86400.0, monitor_execution=False), _Share(*lapses))
    runner.step()  # the first look
    runner.tick()
    _step_until(runner, ran.is_set)
    for _ in range(5):
        runner.step()
    runner.loop.close()
    assert counts == [1]


def _runner(job: SimpleJob, share: _Share) -> JobRunner:
    hooks = Hooks()
    return JobRunner(Assignment(job, share, Summons("job-job", hooks), hooks))


def _step_until(runner: JobRunner, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it never ran"
        runner.step()
        time.sleep(0.001)

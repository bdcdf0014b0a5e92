from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from asyncflow.scheduler.loops.metronome import Metronome
from asyncflow.scheduler.loops.triggers import trigger_of

LONG = 60.0


class Beats:
    """Count beats and let a test wait for one."""

    def __init__(self) -> None:
        self.count = 0
        self._beaten = threading.Condition()

    def __call__(self) -> None:
        with self._beaten:
            self.count += 1
            self._beaten.notify_all()

    def wait_for(self, count: int) -> None:
        with self._beaten:
            assert self._beaten.wait_for(lambda: self.count >= count, LONG), self.count


class Fatal(BaseTrigger):  # type: ignore[misc] # APScheduler tells no types
    """Fire once, then raise: that ends APScheduler's thread without a word."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        if previous_fire_time is not None:
            raise RuntimeError("the trigger is at fault")
        return now


@pytest.fixture
def metronome() -> Iterator[Metronome]:
    metronome = Metronome()
    yield metronome
    metronome.stop()


def thread_of(metronome: Metronome) -> threading.Thread:
    scheduler: Any = metronome._scheduler
    thread: threading.Thread = scheduler._thread
    return thread


def test_it_beats_by_its_trigger(metronome: Metronome) -> None:
    beats = Beats()
    metronome.add(IntervalTrigger(seconds=0.01), beats)
    metronome.start()
    beats.wait_for(3)


def test_it_beats_by_several_triggers(metronome: Metronome) -> None:
    several = [Beats(), Beats()]
    for beats in several:
        metronome.add(IntervalTrigger(seconds=0.01), beats)
    metronome.start()
    for beats in several:
        beats.wait_for(2)


def test_it_is_alive_from_start_to_stop(metronome: Metronome) -> None:
    assert not metronome.is_alive()
    metronome.start()
    assert metronome.is_alive()
    metronome.stop()
    assert not metronome.is_alive()


def test_start_twice_beats_once(metronome: Metronome) -> None:
    metronome.start()
    thread = thread_of(metronome)
    metronome.start()
    assert thread_of(metronome) is thread


def test_stop_before_start_and_twice_does_nothing(metronome: Metronome) -> None:
    metronome.stop()
    metronome.start()
    metronome.stop()
    metronome.stop()


def test_a_stopped_metronome_leaves_no_thread(metronome: Metronome) -> None:
    metronome.start()
    thread = thread_of(metronome)
    metronome.stop()
    thread.join(LONG)
    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_noticed_although_apscheduler_believes_it_runs(metronome: Metronome) -> None:
    metronome.add(Fatal(), Beats())
    metronome.start()
    thread_of(metronome).join(LONG)
    assert metronome._scheduler is not None
    assert metronome._scheduler.running
    assert not metronome.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_metronome_beats_again_after_stop_and_start(metronome: Metronome) -> None:
    beats = Beats()
    metronome.add(IntervalTrigger(seconds=0.01), beats)
    metronome.add(Fatal(), lambda: None)
    metronome.start()
    thread_of(metronome).join(LONG)
    metronome._cadences.pop()
    beaten = beats.count
    metronome.stop()
    metronome.start()
    beats.wait_for(beaten + 2)
    assert metronome.is_alive()


def test_a_beat_that_raises_does_not_end_the_others(metronome: Metronome) -> None:
    def broken() -> None:
        raise RuntimeError("the beat is at fault")

    beats = Beats()
    metronome.add(IntervalTrigger(seconds=0.01), broken)
    metronome.add(IntervalTrigger(seconds=0.01), beats)
    metronome.start()
    beats.wait_for(3)


def test_what_has_one_interval_is_one_beat_of_many_and_may_come_while_it_beats(metronome: Metronome) -> None:
    first, later, other = Beats(), Beats(), Beats()
    metronome.add(IntervalTrigger(seconds=0.01), first)
    metronome.start()
    first.wait_for(2)
    metronome.add(IntervalTrigger(seconds=0.01), later)
    metronome.add(IntervalTrigger(seconds=0.02), other)
    later.wait_for(2)
    other.wait_for(2)
    assert metronome._scheduler is not None
    assert len(metronome._scheduler.get_jobs()) == 2


def test_it_beats_on_a_machine_whose_time_zone_has_no_name(own_time: None, metronome: Metronome) -> None:
    often, by_line = Beats(), Beats()
    metronome.add(trigger_of(0.01), often)
    metronome.add(trigger_of("* * * * * *"), by_line)
    metronome.start()
    often.wait_for(2)
    by_line.wait_for(1)

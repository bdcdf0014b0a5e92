"""Several steps share one thread, and none of them another one's fate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncflow.events import Event, Hooks, StepFailed, StepRecovered
from asyncflow.scheduler.loops.latch import Latch
from asyncflow.scheduler.loops.rota import Duty, Rota

Made = Callable[..., Rota]
LONG = 120.0


def never() -> bool:
    return False


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counting(name: str, pause: float, done: list[str], **options: bool) -> Duty:
    def step() -> float:
        done.append(name)
        return pause

    return Duty(name, step, lambda: done.append(f"{name} ends"), **options)


def test_each_is_done_when_it_is_due_and_the_rota_waits_for_the_next() -> None:
    done, clock = list[str](), Clock()
    rota = Rota([counting("often", 2.0, done), counting("seldom", 5.0, done)], Hooks(), never, clock)
    assert rota.step() == 2.0
    clock.now = 2.0
    assert rota.step() == 2.0
    clock.now = 4.0
    assert rota.step() == 1.0
    clock.now = 5.0
    assert rota.step() == 1.0
    assert done == ["often", "seldom", "often", "often", "seldom"]


def test_a_wake_up_does_those_that_are_to_be_woken() -> None:
    done = list[str]()
    latch, clock = Latch("keepers", Hooks()), Clock()
    duties = [counting("periodic", 9.0, done), counting("monitor", 9.0, done, is_woken=True)]
    rota = Rota(duties, Hooks(), latch.was_woken, clock)
    rota.step()
    latch.wake()
    assert latch.wait(LONG)
    rota.step()
    assert done == ["periodic", "monitor", "monitor"]
    rota.step()  # it was woken once
    assert done == ["periodic", "monitor", "monitor"]


def test_a_wake_up_that_comes_as_something_else_is_due_does_those_that_are_to_be_woken_as_well() -> None:
    done = list[str]()
    latch, clock = Latch("keepers", Hooks()), Clock()
    duties = [counting("configuration", 5.0, done), counting("monitor", 60.0, done, is_woken=True)]
    rota = Rota(duties, Hooks(), latch.was_woken, clock)
    rota.step()
    latch.wake()
    assert latch.wait(LONG)
    clock.now = 5.0
    rota.step()
    assert done == ["configuration", "monitor", "configuration", "monitor"]


def test_one_that_fails_is_told_by_its_name_tried_again_and_holds_up_none() -> None:
    told, done, clock, fails = list[Event](), list[str](), Clock(), [True]

    def step() -> float:
        if fails[0]:
            raise RuntimeError("no disk")
        return 7.0

    rota = Rota(
        [Duty("cleaner", step, lambda: None), counting("charts", 7.0, done)], Hooks([told.append]), never, clock
    )
    pause = rota.step()
    assert done == ["charts"]
    assert 0 < pause < 7.0
    clock.now += pause
    assert rota.step() > pause  # it doubles
    fails[0] = False
    clock.now += 5.0
    rota.step()
    assert [type(event) for event in told] == [StepFailed, StepFailed, StepRecovered]
    assert {event.loop for event in told if isinstance(event, (StepFailed, StepRecovered))} == {"cleaner"}


def test_all_end_though_one_of_them_cannot() -> None:
    done = list[str]()

    def fail() -> None:
        raise RuntimeError("the database is gone")

    rota = Rota([Duty("cleaner", lambda: 1.0, fail), counting("monitor", 1.0, done)], Hooks(), never)
    with pytest.raises(RuntimeError, match="is gone"):
        rota.close()
    assert done == ["monitor ends"]

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from asyncflow.events import Hooks, StepFailed
from asyncflow.scheduler.loops.second_writer import Beside
from asyncflow.testing import Signals


class Clock:
    """Stand still until it is put forward."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beside(signals: Signals, clock: Clock) -> Beside[str]:
    return Beside("relay-kafka", Hooks([signals]), clock)


def raising(error: BaseException) -> Callable[[], str]:
    def write() -> str:
        raise error

    return write


def test_nothing_was_begun_and_nothing_is_returned(beside: Beside[str]) -> None:
    assert beside.is_free
    assert not beside
    assert beside.end() is None


def test_a_write_goes_on_while_its_loop_does_and_tells_what_it_wrote(beside: Beside[str]) -> None:
    go_on = threading.Event()
    beside.begin(lambda: f"written: {go_on.wait(60)}")
    assert beside
    assert not beside.is_free
    go_on.set()
    assert beside.end() == "written: True"
    assert beside.is_free


def test_it_writes_on_a_daemon_thread_with_a_name(beside: Beside[str]) -> None:
    told: list[threading.Thread] = []

    def write() -> str:
        told.append(threading.current_thread())
        return ""

    beside.begin(write)
    beside.end()
    assert told[0].daemon
    assert told[0].name.startswith("asyncflow-settle-relay-kafka")


def test_one_that_fails_is_told_of_and_no_other_begins_for_a_minute(
    beside: Beside[str], clock: Clock, signals: Signals
) -> None:
    beside.begin(raising(OSError("the line is cut")))
    assert beside.end() is None
    (failed,) = signals.of(StepFailed)
    assert (failed.loop, str(failed.error)) == ("relay-kafka", "the line is cut")
    clock.now += 59
    assert not beside.is_free
    clock.now += 2
    assert beside.is_free


def test_what_is_no_exception_is_raised(beside: Beside[str]) -> None:
    beside.begin(raising(SystemExit(1)))
    with pytest.raises(SystemExit):
        beside.end()

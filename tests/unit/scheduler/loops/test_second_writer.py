from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from asyncflow.events import Hooks, StepFailed
from asyncflow.scheduler.loops.second_writer import SecondWriter
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
def second_writer(signals: Signals, clock: Clock) -> SecondWriter[str]:
    return SecondWriter("relay-kafka", Hooks([signals]), clock)


def raising(error: BaseException) -> Callable[[], str]:
    def write() -> str:
        raise error

    return write


def test_nothing_was_begun_and_nothing_is_returned(second_writer: SecondWriter[str]) -> None:
    assert second_writer.is_free
    assert not second_writer
    assert second_writer.end() is None


def test_a_write_goes_on_while_its_loop_does_and_tells_what_it_wrote(second_writer: SecondWriter[str]) -> None:
    go_on = threading.Event()
    second_writer.begin(lambda: f"written: {go_on.wait(60)}")
    assert second_writer
    assert not second_writer.is_free
    go_on.set()
    assert second_writer.end() == "written: True"
    assert second_writer.is_free


def test_it_writes_on_a_daemon_thread_with_a_name(second_writer: SecondWriter[str]) -> None:
    told: list[threading.Thread] = []

    def write() -> str:
        told.append(threading.current_thread())
        return ""

    second_writer.begin(write)
    second_writer.end()
    assert told[0].daemon
    assert told[0].name.startswith("asyncflow-settle-relay-kafka")


def test_one_that_fails_is_told_of_and_no_other_begins_for_a_minute(
    second_writer: SecondWriter[str], clock: Clock, signals: Signals
) -> None:
    second_writer.begin(raising(OSError("the line is cut")))
    assert second_writer.end() is None
    (failed,) = signals.of(StepFailed)
    assert (failed.loop, str(failed.error)) == ("relay-kafka", "the line is cut")
    clock.now += 59
    assert not second_writer.is_free
    clock.now += 2
    assert second_writer.is_free


def test_what_is_no_exception_is_raised(second_writer: SecondWriter[str]) -> None:
    second_writer.begin(raising(SystemExit(1)))
    with pytest.raises(SystemExit):
        second_writer.end()


def test_a_write_for_which_there_is_no_thread_has_failed(
    second_writer: SecondWriter[str], signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    second_writer.begin(lambda: "written")
    assert second_writer.end() is None
    (failed,) = signals.of(StepFailed)
    assert "new thread" in str(failed.error)
    assert not second_writer.is_free

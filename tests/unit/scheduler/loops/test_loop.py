from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from asyncflow.events import Hooks, LoopRestarted, StepFailed, TickMisfired
from asyncflow.scheduler.loops import loop as loops
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.testing import Signals

LONG = 60.0


class Steps:
    """Be a step that plays a script, then rests; count the calls and let a test wait for one."""

    def __init__(self, *script: float | BaseException) -> None:
        self._script = iter(script)
        self.calls = 0
        self._called = threading.Condition()

    def __call__(self) -> float:
        with self._called:
            self.calls += 1
            self._called.notify_all()
        answer = next(self._script, 3600.0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def wait_for(self, calls: int) -> None:
        with self._called:
            assert self._called.wait_for(lambda: self.calls >= calls, LONG), self.calls


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def start(signals: Signals) -> Iterator[Callable[[Callable[[], float]], Loop]]:
    """Start a loop around a step, and stop it at the end."""
    started: list[Loop] = []

    def begin(step: Callable[[], float]) -> Loop:
        loop = Loop("relay", step, Hooks([signals]))
        started.append(loop)
        loop.start()
        return loop

    yield begin
    stopped = [loop.stop(LONG) for loop in started]
    assert all(stopped)


Start = Callable[[Callable[[], float]], Loop]


def test_a_step_that_found_work_is_run_again_at_once(start: Start) -> None:
    steps = Steps(0, 0, 0)
    start(steps)
    steps.wait_for(4)


def test_a_resting_loop_steps_again_when_woken(start: Start) -> None:
    steps = Steps()
    loop = start(steps)
    steps.wait_for(1)
    loop.latch.wake()
    steps.wait_for(2)


def test_a_pause_ends_by_itself(start: Start) -> None:
    steps = Steps(0.001, 0.001)
    start(steps)
    steps.wait_for(3)


def test_ticks_during_a_step_give_exactly_one_further_step(start: Start, signals: Signals) -> None:
    working, go_on = threading.Event(), threading.Event()
    steps = Steps()

    def step() -> float:
        pause = steps()
        if steps.calls == 1:
            working.set()
            assert go_on.wait(LONG)
        return pause

    loop = start(step)
    assert working.wait(LONG)
    for _ in range(5):
        loop.latch.tick()
    go_on.set()
    steps.wait_for(2)
    assert loop.stop(LONG)
    assert steps.calls == 2
    assert (loop.latch.ticks, loop.latch.misfired, loop.latch.coalesced) == (5, 1, 4)
    assert len(signals.of(TickMisfired)) == 1


def test_an_error_is_reported_and_the_loop_goes_on(start: Start, signals: Signals) -> None:
    error = ValueError("torn")
    steps = Steps(error, 0)
    start(steps)
    steps.wait_for(3)
    assert [(event.loop, event.error) for event in signals.of(StepFailed)] == [("relay", error)]


def test_the_pause_after_errors_doubles_up_to_its_ceiling(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(loops, "_LONGEST_PAUSE_SECONDS", 0.004)
    steps = Steps(*[ValueError("torn")] * 5, 0, ValueError("again"))
    loop = Loop("relay", steps, Hooks([signals]))
    loop.start()
    steps.wait_for(8)
    assert loop.stop(LONG)
    pauses = [event.pause_seconds for event in signals.of(StepFailed)]
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004, 0.001]


def test_commits_and_ticks_do_not_shorten_the_pause_after_an_error(
    start: Start, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_FIRST_PAUSE_SECONDS", 3600.0)
    monkeypatch.setattr(loops, "_LONGEST_PAUSE_SECONDS", 3600.0)
    steps = Steps(ValueError("torn"))
    loop = start(steps)
    failed = signals.wait_for(StepFailed)
    for _ in range(100):
        loop.latch.wake()
        loop.latch.tick()
    time.sleep(0.05)  # in which a loop that listened to them would step
    assert steps.calls == 1
    assert failed.pause_seconds == 3600.0


def test_a_loop_that_waits_after_an_error_stops_at_once(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "_FIRST_PAUSE_SECONDS", 3600.0)
    monkeypatch.setattr(loops, "_LONGEST_PAUSE_SECONDS", 3600.0)
    loop = Loop("relay", Steps(ValueError("torn")), Hooks([signals]))
    loop.start()
    signals.wait_for(StepFailed)
    assert loop.stop(LONG)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("death", [SystemExit(), KeyboardInterrupt(), GeneratorExit()])
def test_a_thread_that_died_is_revived(death: BaseException, start: Start, signals: Signals) -> None:
    steps = Steps(death)
    loop = start(steps)
    steps.wait_for(1)
    assert loop._thread is not None
    loop._thread.join(LONG)
    loop.revive()
    steps.wait_for(2)
    assert signals.of(LoopRestarted) == [LoopRestarted("relay")]


def test_a_living_thread_is_not_revived(start: Start, signals: Signals) -> None:
    steps = Steps()
    loop = start(steps)
    steps.wait_for(1)
    loop.revive()
    assert signals.of(LoopRestarted) == []


def test_a_stopped_loop_is_not_revived(signals: Signals) -> None:
    loop = Loop("relay", Steps(), Hooks([signals]))
    loop.start()
    assert loop.stop(LONG)
    loop.revive()
    assert signals.of(LoopRestarted) == []


def test_a_loop_never_started_is_not_revived(signals: Signals) -> None:
    Loop("relay", Steps(), Hooks([signals])).revive()
    assert signals.of(LoopRestarted) == []


def test_stop_before_start_keeps_it_from_starting() -> None:
    steps = Steps()
    loop = Loop("relay", steps, Hooks())
    assert loop.stop(0)
    loop.start()
    assert loop.stop(LONG)
    assert steps.calls == 0


def test_a_loop_whose_thread_could_not_be_started_stops_and_can_be_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps, failed = Steps(), Loop("relay", Steps(), Hooks())

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        loop = Loop("relay", steps, Hooks())
        for one in (failed, loop):
            with pytest.raises(RuntimeError, match="start new thread"):
                one.start()
    assert failed.stop(LONG)
    loop.start()
    steps.wait_for(1)
    assert loop.stop(LONG)


def test_start_twice_runs_one_thread(start: Start) -> None:
    steps = Steps()
    loop = start(steps)
    steps.wait_for(1)
    thread = loop._thread
    loop.start()
    assert loop._thread is thread
    assert steps.calls == 1


def test_stop_twice_is_stop(start: Start) -> None:
    loop = start(Steps())
    assert loop.stop(LONG)
    assert loop.stop(LONG)


def test_a_step_may_stop_its_own_loop() -> None:
    ended: list[bool] = []

    def step() -> float:
        ended.append(loop.stop(LONG))
        return 0.0

    loop = Loop("relay", step, Hooks())
    loop.start()
    assert loop._thread is not None
    loop._thread.join(LONG)
    assert not loop._thread.is_alive()
    assert ended == [True]


def test_stop_finishes_the_step_in_hand() -> None:
    working, go_on, finished = threading.Event(), threading.Event(), threading.Event()

    def step() -> float:
        working.set()
        assert go_on.wait(LONG)
        finished.set()
        return 0.0

    loop = Loop("relay", step, Hooks())
    loop.start()
    assert working.wait(LONG)
    assert loop.stop(0) is False
    go_on.set()
    assert loop.stop(LONG) is True
    assert finished.is_set()


def test_a_hook_that_raises_does_not_end_the_loop() -> None:
    def hook(event: object) -> None:
        raise RuntimeError("the hook is at fault")

    steps = Steps(ValueError("torn"), 0)
    loop = Loop("relay", steps, Hooks([hook]))
    loop.start()
    steps.wait_for(3)
    assert loop.stop(LONG)


def test_what_could_not_be_given_back_is_no_clean_end() -> None:
    def give_back() -> None:
        raise OSError("the line is cut")

    signals = Signals()
    loop = Loop("relay", Steps(0.01), Hooks([signals]), give_back)
    loop.start()
    assert loop.stop(LONG) is False
    assert [str(failed.error) for failed in signals.of(StepFailed)] == ["the line is cut"]

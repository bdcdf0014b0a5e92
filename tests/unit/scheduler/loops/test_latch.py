from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow.events import Hooks, TickMisfired
from asyncflow.scheduler.loops.latch import Latch
from asyncflow.testing import Signals
from tests.unit.scheduler.waiting import eventually

SOON = 0.0005
LONG = 60.0


def idle_latch(signals: Signals | None = None) -> Latch:
    """Return a latch whose loop waited once and now works."""
    latch = Latch("relay", Hooks([signals] if signals else []))
    latch.wait(0)
    return latch


def test_a_wake_ends_the_wait() -> None:
    latch = idle_latch()
    threading.Timer(0.01, latch.wake).start()
    assert latch.wait(LONG) is True


def test_a_wake_before_the_wait_lets_it_return_at_once() -> None:
    latch = idle_latch()
    latch.wake()
    assert latch.wait(LONG) is True


def test_a_wait_without_a_wake_ends_with_its_time() -> None:
    assert idle_latch().wait(SOON) is False


def test_many_wakes_give_one_run() -> None:
    latch = idle_latch()
    for _ in range(5):
        latch.wake()
    assert latch.wait(LONG) is True
    assert latch.wait(SOON) is False


def test_ticks_while_working_give_exactly_one_further_run() -> None:
    signals = Signals()
    latch = idle_latch(signals)
    for _ in range(4):
        latch.tick()
    assert latch.wait(LONG) is True
    assert latch.wait(SOON) is False
    assert (latch.ticks, latch.misfired, latch.coalesced) == (4, 1, 3)
    assert signals.of(TickMisfired) == [TickMisfired("relay")]


def test_the_further_run_can_misfire_again() -> None:
    latch = idle_latch()
    latch.tick()
    latch.wait(LONG)
    latch.tick()
    assert (latch.ticks, latch.misfired, latch.coalesced) == (2, 2, 0)


def test_a_tick_while_the_loop_waits_is_no_misfire() -> None:
    latch = idle_latch()
    waiting = threading.Thread(target=latch.wait, args=(LONG,))
    waiting.start()
    eventually(lambda: not latch._working)
    latch.tick()
    waiting.join(LONG)
    assert not waiting.is_alive()
    assert (latch.ticks, latch.misfired) == (1, 0)


def test_a_tick_while_working_and_a_commit_give_one_further_run() -> None:
    latch = idle_latch()
    latch.tick()
    latch.wake()
    assert latch.wait(LONG) is True
    assert latch.wait(SOON) is False


@given(st.lists(st.sampled_from(["tick", "wake", "wait"]), max_size=50))
@settings(deadline=None)
def test_a_wait_is_woken_exactly_if_something_came_since_the_last(steps: list[str]) -> None:
    latch = idle_latch()
    came = False
    for step in steps:
        if step == "wait":
            assert latch.wait(0) is came
            came = False
        else:
            getattr(latch, step)()
            came = True
    assert latch.ticks == steps.count("tick") == latch.misfired + latch.coalesced


def test_no_wake_is_lost_however_threads_meet() -> None:
    """Whoever waits sees everything that was written before a wake: the hammer writes, wakes, and asks."""
    latch = Latch("relay", Hooks())
    rounds, seen, written = 2000, threading.Semaphore(0), [0]
    lost: list[int] = []

    def loop() -> None:
        done = 0
        while done < rounds:
            if not latch.wait(LONG):
                lost.append(done)
                return
            while done < written[0]:
                done += 1
                seen.release()

    consumer = threading.Thread(target=loop)
    consumer.start()
    for number in range(1, rounds + 1):
        written[0] = number
        (latch.wake if number % 2 else latch.tick)()
        if number % 3 == 0:
            assert seen.acquire(timeout=LONG)
    consumer.join(LONG)
    assert not consumer.is_alive()
    assert lost == []
    assert latch.ticks == rounds // 2

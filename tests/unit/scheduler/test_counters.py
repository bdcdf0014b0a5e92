"""What several threads change at once is counted, and told, as if they had come one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sys import getswitchinterval, setswitchinterval

from asyncflow.events import Hooks, SettleFenced, TasksSettled, UnknownTypeSeen
from asyncflow.scheduler.counters import Tally
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.testing import Signals

THREADS, TIMES = 4, 100


@contextmanager
def hasty_switches() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    before = getswitchinterval()
    setswitchinterval(1e-6)
    try:
        yield
    finally:
        setswitchinterval(before)


def at_once(work: Callable[[], object], times: int = TIMES) -> None:
    start = threading.Barrier(THREADS, timeout=60)

    def run() -> None:
        start.wait()
        for _ in range(times):
            work()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    with hasty_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)


class SlowCount(int):
    """Be a number whose addition lets other threads go first."""

    def __radd__(self, other: int) -> int:
        threading.Event().wait(0.00001)
        return other + int(self)


def test_no_count_is_lost_between_the_threads_of_several_destinations() -> None:
    tally = Tally()
    events = (TasksSettled("a", SlowCount(1), 0, 0, 0.0), SettleFenced("a", SlowCount(2)))

    def count() -> None:
        for event in events:
            tally(event)

    at_once(count)
    assert (tally.succeeded, tally.fenced) == (THREADS * TIMES, 2 * THREADS * TIMES)


class SlowName(str):
    """Be a name that is looked up so slowly that other threads go first."""

    __slots__ = ()

    def __hash__(self) -> int:
        threading.Event().wait(0.001)
        return super().__hash__()


def test_an_unknown_type_is_told_of_once_though_several_threads_see_it() -> None:
    signals = Signals()
    types = UnknownTypes((), Hooks([signals]))
    at_once(lambda: types.notice([SlowName("a"), SlowName("b")]), times=1)
    assert sorted(event.task_type for event in signals.of(UnknownTypeSeen)) == ["a", "b"]

"""A lock that goes to whoever has waited longest."""

from __future__ import annotations

import threading
import time
from functools import partial

from asyncflow.scheduler.loops.fair_lock import FairLock
from tests.unit.scheduler.waiting import eventually

LONG = 120.0


def are_waiting(lock: FairLock, count: int) -> bool:
    return len(lock._waiting) == count


def test_those_who_wait_come_in_the_order_in_which_they_asked() -> None:
    lock, came = FairLock(), list[int]()
    assert lock.acquire(0.0)

    def take(number: int) -> None:
        assert lock.acquire(LONG)
        came.append(number)
        lock.release()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        eventually(partial(are_waiting, lock, number + 1))
    lock.release()
    for thread in threads:
        thread.join(LONG)
    assert came == [0, 1, 2, 3, 4]


def test_who_does_not_want_to_wait_longer_goes_without_it() -> None:
    lock = FairLock()
    assert lock.acquire(0.0)
    assert not lock.acquire(0.001)
    lock.release()
    assert lock.acquire(0.0)


def test_who_gave_up_and_asks_again_comes_before_those_who_asked_after_it() -> None:
    lock, came = FairLock(), list[str]()
    assert lock.acquire(0.0)
    asked_at = time.monotonic()
    assert not lock.acquire(0.001, asked_at)

    def take(name: str, at: float | None) -> None:
        assert lock.acquire(LONG, at)
        came.append(name)
        lock.release()

    threads = []
    for name, at in (("later", None), ("again", asked_at)):
        threads.append(threading.Thread(target=take, args=(name, at)))
        threads[-1].start()
        eventually(partial(are_waiting, lock, len(threads)))
    lock.release()
    for thread in threads:
        thread.join(LONG)
    assert came == ["again", "later"]


def test_who_lets_go_of_it_does_not_get_it_again_before_those_who_wait() -> None:
    lock, has_it = FairLock(), threading.Event()
    assert lock.acquire(0.0)

    def take() -> None:
        assert lock.acquire(LONG)
        has_it.set()

    thread = threading.Thread(target=take)
    thread.start()
    eventually(lambda: lock._waiting)
    lock.release()
    assert not lock.acquire(0.0)
    thread.join(LONG)
    assert has_it.is_set()

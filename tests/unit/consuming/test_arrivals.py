"""What a client's threads receive is taken by the consumer's, in order, and their end is heard of."""

from __future__ import annotations

import threading

from asyncflow.consuming.arrivals import Arrivals
from asyncflow.consuming.delivered import Delivered


def delivery(number: int) -> Delivered:
    return Delivered("coupons", str(number), None, b"{}", {}, number)


def test_no_more_is_taken_than_is_asked_for_and_the_order_is_kept() -> None:
    arrivals = Arrivals()
    for number in range(3):
        arrivals.add(delivery(number))
    assert arrivals.room(5) == 2
    assert [one.handle for one in arrivals.take(2, 60)] == [0, 1]
    assert [one.handle for one in arrivals.take(2, 0)] == [2]
    assert arrivals.take(2, 0) == []


def test_whoever_waits_is_woken_by_the_end_and_the_first_fault_is_kept() -> None:
    arrivals, found = Arrivals(), []
    waiting = threading.Thread(target=lambda: found.append(arrivals.take(5, 600)))
    waiting.start()
    arrivals.end(first := OSError("the connection is lost"))
    waiting.join(60)
    arrivals.end(OSError("and closed"))
    assert found == [[]]
    assert arrivals.fault is first

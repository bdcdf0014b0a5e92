"""Others' leases, timed by a clock that nobody can set, while the database's steps both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.cluster.lease_watch import Lease, LeaseWatch

LENGTH, HEARTBEAT = 7.0, 0.8


class Table:
    """Be one owner's row, a database's clock that is set, and somebody who watches."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.set_by = 0.0
        self.renew()
        self.watch = LeaseWatch(lambda: self.now)

    @property
    def clock(self) -> float:
        return self.now + self.set_by

    def renew(self) -> None:
        self.began_at, self.ends_at = self.clock, self.clock + LENGTH

    def left(self) -> float:
        lease = Lease(("a",), self.ends_at, self.began_at, self.ends_at - self.clock)
        return self.watch.seconds_left("job", [lease])[("a",)]

    def seconds_until_free(self) -> float:
        began = self.now
        while self.left() > 0:
            self.now += HEARTBEAT
        return self.now - began


@pytest.mark.parametrize("step", [-3600.0, -5.0, 5.0, 3600.0])
@pytest.mark.parametrize("is_seen_before", [True, False])
def test_a_dead_ones_lease_ends_a_lease_later_whatever_the_clock_is_set_to(step: float, is_seen_before: bool) -> None:
    table = Table()
    if is_seen_before:
        table.left()
    table.set_by = step
    assert table.seconds_until_free() <= LENGTH + HEARTBEAT


@given(st.lists(st.floats(-7200, 7200), max_size=20))
def test_one_who_renews_in_time_is_never_taken_for_dead(steps: list[float]) -> None:
    table = Table()
    for number, step in enumerate([0.0, *steps]):
        for _ in range(1 + number % 4):
            table.now += HEARTBEAT
            assert table.left() > 0
        table.set_by += step
        assert table.left() > 0
        table.renew()


def test_what_is_looked_at_no_more_is_forgotten() -> None:
    table = Table()
    table.left()
    assert table.watch.seconds_left("job", []) == {}
    table.now += 100
    assert table.left() == pytest.approx(LENGTH - 100)

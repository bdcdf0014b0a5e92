"""Others' leases, timed by a clock that nobody can set, while the database's steps both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.cluster.seeing.lease_watch import Lease, LeaseWatch

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


DOUBT = 3.0


class Newcomer(Table):
    """Be somebody who begins to watch when all that is to be seen was written before the clock was set."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.set_by = step
        self.watch = LeaseWatch(lambda: self.now, doubt_seconds=DOUBT)

    def doubt(self) -> float:
        self.left()
        return self.watch.seconds_of_doubt("job")[("a",)]


@given(st.floats(0, 7200), st.floats(0, 0.9 * DOUBT))
def test_a_newcomer_takes_nobody_for_dead_who_renews_while_there_is_doubt(step: float, looked_for: float) -> None:
    table = Newcomer(step)
    assert table.doubt() > 0
    table.now += looked_for
    assert table.doubt() > 0
    table.renew()
    assert table.left() > 0


@given(st.floats(0, 7200))
def test_a_newcomer_is_in_doubt_about_a_dead_one_for_no_longer_than_that_or_than_its_lease(step: float) -> None:
    table = Newcomer(step)
    table.doubt()
    table.now += max(DOUBT, LENGTH - step) + 0.001
    assert table.doubt() <= 0
    assert table.left() <= 0


def test_nobody_is_in_doubt_about_a_lease_that_nobody_had() -> None:
    table = Newcomer(3600.0)
    table.ends_at = table.began_at - 1
    assert table.doubt() <= 0


def test_who_was_seen_to_renew_is_no_dead_one_though_the_clock_was_set_in_between() -> None:
    table = Newcomer(0.0)
    table.left()
    table.now += HEARTBEAT
    table.renew()
    table.set_by = 3600.0
    assert table.left() > 0


def test_what_is_looked_at_no_more_is_forgotten() -> None:
    table = Table()
    table.left()
    assert table.watch.seconds_left("job", []) == {}
    table.now += 100
    assert table.left() == pytest.approx(LENGTH - 100)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2), st.booleans()), min_size=1, max_size=20))
def test_an_owner_believes_what_it_was_granted_less_the_way_of_the_question_alone(
    looks: list[tuple[float, float, bool]],
) -> None:
    table = Table()
    granted_until, ways = table.now + LENGTH, 0.0
    for sent, answered, is_renewed in looks:
        asked_at = table.now
        table.now += sent
        if is_renewed:
            table.renew()
            granted_until = table.now + LENGTH
        ways = max(ways, sent)
        lease = Lease(("a",), table.ends_at, table.began_at, table.ends_at - table.clock)
        table.now += answered
        table.watch.seconds_left("job", [lease], asked_at)
        believed_until = asked_at + table.watch.seconds_held("job", asked_at)[("a",)]
        assert granted_until - ways - 1e-6 <= believed_until <= granted_until + 1e-6

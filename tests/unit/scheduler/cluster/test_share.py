"""What is owned, what is at work, and when it counts no more."""

from __future__ import annotations

from asyncflow.scheduler.cluster.share import Share


class Watched:
    def __init__(self) -> None:
        self.now = 0.0
        self.drained = 0
        self.share = Share(self._drained, lambda: self.now)
        self.share.own({0: 1, 1: 1, 2: 5})
        self.share.last_until(10.0)

    def _drained(self) -> None:
        self.drained += 1


def test_what_is_owned_may_be_worked_on_until_the_lease_may_have_run_out() -> None:
    it = Watched()
    assert it.share.epochs() == {0: 1, 1: 1, 2: 5}
    it.now = 10.0
    assert it.share.epochs() == {}
    assert dict(it.share.hold()) == {}
    it.share.last_until(20.0)
    assert len(it.share.epochs()) == 3


def test_what_is_disabled_is_owned_and_not_worked_on() -> None:
    it = Watched()
    it.share.own({0: 1, 1: 1}, disabled=[1])
    assert it.share.epochs() == {0: 1}
    assert it.share.owned() == {0: 1, 1: 1}


def test_what_others_may_take_is_not_worked_on_from_that_moment_on() -> None:
    it = Watched()
    hold = it.share.hold()
    it.share.own({0: 1, 1: 1, 2: 5}, ends={1: 4.0})
    assert hold.lasts
    it.now = 4.0
    assert it.share.epochs() == {0: 1, 2: 5}
    assert not hold.lasts
    hold.keep_only({0, 2})
    assert hold.lasts
    assert it.share.owned() == {0: 1, 1: 1, 2: 5}
    it.share.own({0: 1, 1: 1, 2: 5})
    assert it.share.epochs() == {0: 1, 1: 1, 2: 5}


def test_what_is_dropped_takes_nothing_else_with_it() -> None:
    it = Watched()
    it.share.own({0: 1, 1: 1, 2: 5}, disabled=[1], ends={2: 0.0})
    it.share.drop([0])
    assert it.share.owned() == {1: 1, 2: 5}
    assert it.share.epochs() == {}


def test_what_is_held_is_not_drained_before_its_release() -> None:
    it = Watched()
    hold = it.share.hold()
    assert it.share.drain([0, 1]) == set()
    hold.release()
    assert it.drained == 1
    assert it.share.drain([0, 1]) == {0, 1}


def test_a_hold_that_keeps_only_some_lets_the_others_go() -> None:
    it = Watched()
    hold = it.share.hold()
    hold.keep_only({2})
    assert dict(hold) == {2: 5}
    assert it.share.drain([0, 1, 2]) == {0, 1}


def test_what_is_leaving_is_in_no_new_hold_and_what_stays_after_all_is() -> None:
    it = Watched()
    it.share.drain([0])
    assert dict(it.share.hold()) == {1: 1, 2: 5}
    it.share.drain([])
    assert len(it.share.hold()) == 3


def test_two_equal_holds_are_two() -> None:
    it = Watched()
    first, second = it.share.hold(), it.share.hold()
    first.release()
    assert it.share.drain([0]) == set()
    first.release()
    assert it.share.drain([0]) == set()
    second.release()
    assert it.share.drain([0]) == {0}


def test_a_hold_that_nobody_awaits_is_released_in_silence() -> None:
    it = Watched()
    with it.share.hold():
        pass
    assert it.drained == 0


def test_a_hold_lasts_as_long_as_its_items_are_owned_in_their_epochs() -> None:
    it = Watched()
    hold = it.share.hold()
    hold.keep_only({0, 1})
    it.share.own({0: 1, 1: 1})
    assert hold.lasts
    it.now = 10.0
    assert not hold.lasts
    it.share.own({0: 3, 1: 1})
    it.share.last_until(20.0)
    assert not hold.lasts, "it was another's in between"


def test_a_share_of_nothing_is_leased_for_as_long_as_its_lease_lasts() -> None:
    watched = Watched()
    watched.share.own({})
    assert watched.share.is_leased()
    watched.now = 10.0
    assert not watched.share.is_leased()

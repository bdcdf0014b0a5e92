"""Loops that rest look no more by themselves, and miss nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncflow import Status
from asyncflow.events import Hooks
from asyncflow.scheduler import SchedulerSettings
from asyncflow.scheduler.heads.lookout import Lookout, Rest
from asyncflow.scheduler.heads.parts import MOST_LANES, Part
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.heads.unknown_types import UnknownTypes

OWNED = frozenset({(0, 1)})


class Shards:
    """Own shard 0."""

    def epochs(self) -> Mapping[int, int]:
        return {0: 1}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Place:
    """Have a lookout, a rest of the type "a" and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.woken = 0
        chosen = SchedulerSettings(**settings)
        unknown_types = UnknownTypes({"a": 0}, Hooks([]))
        owned = Shards().epochs
        self.lookout = Lookout(chosen.tick, chosen.heartbeat_seconds, unknown_types, owned, self.clock)
        self.rest = self.lookout.rest_for(lambda head: head.task_type == "a", wake=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def look(self, due_in_seconds: float = 86400.0, seconds: float = 0.1) -> None:
        """Let the loop look, and find nothing."""
        assert not self.rest.lasts(OWNED)
        self.clock.now += seconds
        self.rest.after_nothing(OWNED, due_in_seconds)

    def see(self, *heads: Head) -> None:
        self.lookout.take_in(Status.PENDING, heads, self.clock.now)


def whole(*heads: Head) -> Part:
    return Part.of([*heads], is_first=True, is_last=True)


def resting(**settings: Any) -> tuple[Place, Rest]:
    place = Place(**settings)
    place.look()
    place.look(seconds=0.7)
    place.see()
    return place, place.rest


def test_a_loop_rests_after_a_while_without_work_and_not_before() -> None:
    place = Place()
    place.look()
    assert not place.lookout.wanted()
    place.look(seconds=0.7)
    assert place.lookout.wanted() == (Status.PENDING,)
    place.see()
    assert place.rest.lasts(OWNED)


def test_what_is_due_wakes_the_loop_that_wants_it() -> None:
    place, rest = resting()
    place.see(Head("b", 0, -1.0), Head("a", 1, -1.0), Head("a", 0, 1.0))  # another's, of another shard, not yet
    assert rest.lasts(OWNED)
    assert place.woken == 0
    place.see(Head("a", 0, 0.0))
    assert not rest.lasts(OWNED)
    assert place.woken == 1


def test_a_rest_ends_when_it_is_disturbed_when_shards_change_and_when_something_is_due() -> None:
    for disturb in (
        lambda place: place.lookout.disturb(),
        lambda place: setattr(place.clock, "now", place.clock.now + 1.01),  # the look is older than a tick
    ):
        place, rest = resting()
        assert rest.lasts(OWNED)
        disturb(place)
        assert not rest.lasts(OWNED)
    place, rest = resting()
    assert not rest.lasts(frozenset({(0, 2)}))
    place = Place()
    place.look()
    place.look(due_in_seconds=0.5, seconds=0.7)
    place.see()
    place.clock.now += 0.6
    place.see()
    assert not place.rest.lasts(OWNED)


def test_what_is_called_during_a_look_is_not_slept_over() -> None:
    place = Place()
    place.look()
    assert not place.rest.lasts(OWNED)
    place.lookout.disturb()  # a commit that the look may have missed
    place.clock.now += 0.7
    place.rest.after_nothing(OWNED, 86400.0)
    place.see()
    assert not place.rest.lasts(OWNED)


def test_work_ends_a_rest_until_there_was_none_for_a_while() -> None:
    place, rest = resting()
    rest.after_work()
    place.look()
    assert not place.lookout.wanted()


def test_nobody_rests_where_ticks_are_quicker_than_heartbeats_or_far_apart() -> None:
    for tick in (0.1, 3600.0, "*/5 * * * *"):
        place = Place(tick=tick)
        place.look()
        place.look(seconds=0.7)
        assert not place.lookout.wanted()


def test_what_a_loop_at_work_has_just_seen_is_not_looked_at_again() -> None:
    place, rest = resting()
    place.clock.now += 0.6
    assert place.lookout.wanted() == (Status.PENDING,)
    assert place.lookout.seen_by(lambda: whole(Head("b", 0, -1.0))).heads == [Head("b", 0, -1.0)]
    assert place.lookout.wanted() == ()
    place.clock.now += 0.6
    assert rest.lasts(OWNED)
    assert place.lookout.wanted() == (Status.PENDING,)
    place.lookout.seen_by(lambda: whole(Head("a", 0, -1.0)))
    assert not rest.lasts(OWNED)
    assert place.woken == 1


def test_what_is_at_work_is_looked_at_only_where_all_rest() -> None:
    place = Place()
    monitor = place.lookout.rest_for(lambda head: True, Status.PROCESSING)
    place.look()
    assert not monitor.lasts(OWNED)
    monitor.after_nothing(OWNED, 86400.0)
    place.clock.now += 0.7
    monitor.after_nothing(OWNED, 86400.0)
    assert place.lookout.wanted() == ()
    place.look(seconds=0.0)
    assert place.lookout.wanted() == (Status.PENDING, Status.PROCESSING)
    place.rest.after_work()
    assert place.lookout.wanted() == ()


def test_a_look_at_a_part_wakes_and_counts_for_no_look_at_all() -> None:
    place, rest = resting()
    place.clock.now += 0.6
    place.lookout.seen_by(lambda: Part.of([Head("a", 0, -1.0)], is_first=True, is_last=False))
    assert place.woken == 1
    assert not rest.is_on
    place.clock.now += 1.0
    assert not place.lookout.is_fresh(Status.PENDING)


def test_too_many_lanes_are_brought_along_by_no_heartbeat_for_a_while() -> None:
    place, rest = resting()
    place.clock.now += 0.6
    assert place.lookout.wanted() == (Status.PENDING,)
    place.see(*(Head("b", 0, 1.0) for _ in range(MOST_LANES + 1)))
    place.clock.now += 2.0
    assert place.lookout.wanted() == ()
    assert not rest.lasts(OWNED)  # so its loop looks by itself
    place.clock.now += 10.0
    place.look()
    place.look(seconds=0.7)
    assert rest.is_on
    assert place.lookout.wanted() == (Status.PENDING,)


def test_each_look_tells_the_databases_time() -> None:
    place = Place()
    assert place.lookout.database_now() is None
    place.see(Head("a", 0, -2.5, moment=1_000_000_000_000_000))
    assert place.lookout.database_now() == 1_000_000_002.5
    place.clock.now += 10
    assert place.lookout.database_now() == 1_000_000_012.5
    place.lookout.seen_by(lambda: whole(Head("b", 0, 5.0, moment=2_000_000_000_000_000)))  # the clock was set
    assert place.lookout.database_now() == 1_999_999_995.0
    place.see()
    assert place.lookout.database_now() == 1_999_999_995.0

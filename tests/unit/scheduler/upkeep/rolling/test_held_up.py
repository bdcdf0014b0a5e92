"""What holds roll-over up is told once it lasts, again while it does, and when it is over."""

from __future__ import annotations

from asyncflow.events import Event, Hooks, RollOverGoesOn, RollOverHeldUp
from asyncflow.scheduler.upkeep.rolling.held_up import HeldUp


class Watch:
    """Hold what was told, and a time that the test sets."""

    def __init__(self, failures_to_tell: int) -> None:
        self.told: list[Event] = []
        self.now = 0.0
        self.held_up = HeldUp(Hooks([self.told.append]), failures_to_tell, lambda: self.now)


def test_what_fails_once_is_not_told_and_what_fails_in_a_row_is() -> None:
    watch = Watch(2)
    watch.held_up.note("t_1", "locked")
    watch.held_up.note("t_1", "denied")
    watch.held_up.is_over()
    watch.held_up.note("t_1", "denied")
    assert watch.told == []
    watch.held_up.note("t_1", "denied")
    watch.held_up.note("t_1", "denied")
    assert watch.told == [RollOverHeldUp("t_1", "denied")]


def test_what_lasts_is_told_again_every_ten_minutes_and_that_it_is_over_once() -> None:
    watch = Watch(1)
    for watch.now in range(0, 1201, 10):
        watch.held_up.note("t_1", "denied")
    watch.held_up.is_over()
    watch.held_up.is_over()
    assert watch.told == [RollOverHeldUp("t_1", "denied")] * 3 + [RollOverGoesOn("t_1")]


def test_another_reason_is_told_at_once_and_both_are_over_together() -> None:
    watch = Watch(1)
    watch.held_up.note("t_1", "denied")
    watch.held_up.note("t_2", "full")
    watch.held_up.is_over()
    assert watch.told == [RollOverHeldUp("t_1", "denied"), RollOverHeldUp("t_2", "full"), RollOverGoesOn("t_2")]

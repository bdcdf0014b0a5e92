from __future__ import annotations

from itertools import count

import pytest

from asyncflow.scheduler.heads.parts import MOST_LANES, Part
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.heads.recent_heads import RecentHeads


def whole(*heads: Head) -> Part:
    return Part.of([*heads], is_first=True, is_last=True)


class Look:
    """Be a database with one more shard at each look, and a clock."""

    def __init__(self) -> None:
        self.looks = 0
        self.now = 100.0
        self.seconds = 0.0
        self.recent = RecentHeads(self._look, lambda: self.now)

    def _look(self, _: int) -> Part:
        self.looks += 1
        self.now += self.seconds
        return whole(*(Head("a", shard, -1.0) for shard in range(self.looks)))


def test_nothing_is_remembered_before_the_first_look() -> None:
    assert not Look().recent.remembered()


def test_a_look_is_remembered_for_a_moment() -> None:
    look = Look()
    seen = look.recent.look().heads
    look.now += 0.09
    assert look.recent.remembered() == seen
    look.now += 0.02
    assert not look.recent.remembered()
    assert look.looks == 1


def test_a_slow_look_is_remembered_for_longer_and_never_for_long() -> None:
    look = Look()
    look.seconds = 0.009
    look.recent.look()
    look.now += 0.28
    assert look.recent.remembered()
    look.now += 0.02
    assert not look.recent.remembered()
    look.seconds = 0.3
    look.recent.look()
    look.now += 0.19
    assert look.recent.remembered()
    look.now += 0.02
    assert not look.recent.remembered()


def test_what_is_forgotten_is_looked_at_again() -> None:
    look = Look()
    look.recent.look()
    look.recent.forget()
    assert not look.recent.remembered()
    assert len(look.recent.look().heads) == 2
    assert len(look.recent.remembered()) == 2


def test_nothing_is_remembered_of_a_look_that_failed() -> None:
    answers = iter([whole(Head("a", 1, -1.0))])
    recent = RecentHeads(lambda _: next(answers), lambda: 100.0)
    recent.look()
    with pytest.raises(StopIteration):
        recent.look()
    assert not recent.remembered()


class ManyLanes:
    """Be a database with more lanes than a look reads, in parts of one lane, and a clock."""

    def __init__(self, *names: str, seconds: float = 0.02) -> None:
        self.names = names
        self.looks: list[str] = []
        self.asked: list[int] = []
        self.now = 100.0
        self.seconds = seconds
        self.lets_rest = True
        self.recent = RecentHeads(self._look, lambda: self.now, lambda: self.lets_rest)

    def _look(self, most_lanes: int) -> Part:
        self.asked.append(most_lanes)
        number = len(self.looks) % len(self.names)
        self.looks.append(self.names[number])
        self.now += self.seconds
        return Part.of([Head(self.names[number], 0, -1.0)], is_first=number == 0, is_last=number == len(self.names) - 1)

    def search(self, most: int = 100) -> str:
        return "".join(heads[0].task_type for heads, _ in zip(self.recent.looks(), range(most), strict=False))


def test_a_search_goes_once_through_all_parts_wherever_it_begins() -> None:
    lanes = ManyLanes("a", "b", "c")
    assert lanes.search() == "abc"
    lanes.now += 1
    assert lanes.search(1) == "a"
    lanes.looks.pop()  # the one that was looked at and not wanted
    assert set(lanes.search()) == {"a", "b", "c"}


def test_a_search_in_vain_through_many_parts_is_followed_by_a_rest_in_proportion() -> None:
    lanes = ManyLanes("a", "b", "c")
    assert lanes.search() == "abc"
    assert lanes.search() == ""
    assert lanes.recent.rest_seconds == pytest.approx(0.12)
    lanes.now += 0.13
    assert lanes.search() == "abc"


def test_a_search_through_very_many_parts_ends_after_a_while_and_goes_on_from_there() -> None:
    lanes = ManyLanes(*"abcdefghij", seconds=0.3)
    assert lanes.search() == "abcd"
    lanes.now += 10
    assert lanes.search() == "efgh"


def test_a_search_that_must_know_all_neither_waits_nor_ends_before_the_last_part() -> None:
    lanes = ManyLanes(*"abcdefghij", seconds=0.3)
    assert lanes.search() == "abcd"
    lanes.lets_rest = False
    for _ in range(2):
        assert set(lanes.search()) == set("abcdefghij")
        assert lanes.recent.rest_seconds == 0


def test_a_part_is_worked_on_until_its_lanes_are_empty_though_its_pages_are_not_full() -> None:
    lanes = ManyLanes("a", "b")
    lanes.recent.look()
    assert not lanes.recent.is_whole
    lanes.recent.move({})
    assert lanes.recent.remembered()
    lanes.recent.move({("a", 0): None})
    assert not lanes.recent.remembered()


def test_looks_at_parts_take_a_tenth_of_the_time_so_that_all_have_their_turn_soon() -> None:
    lanes = ManyLanes("a", "b")
    lanes.recent.look()
    lanes.now += 0.19
    assert lanes.recent.remembered()
    lanes.now += 0.02
    assert not lanes.recent.remembered()


def test_a_look_asks_for_as_many_lanes_as_a_round_empties_and_for_all_that_it_may_where_it_found_none() -> None:
    lanes = ManyLanes("a", "b", "c")
    for expected in (1, 700, 5000):
        lanes.recent.expect(expected)
        lanes.recent.look()
    assert lanes.asked == [MOST_LANES // 2, 700, MOST_LANES]
    lanes.recent.expect(700)
    assert len(lanes.search()) == 3
    assert lanes.asked[3:] == [700, MOST_LANES, MOST_LANES]
    lanes.now += 1
    lanes.search(1)
    assert set(lanes.asked[6:]) == {MOST_LANES}


def test_the_few_lanes_that_are_left_of_a_part_of_many_are_no_round() -> None:
    heads = [Head(f"type.{number}", 0, -1.0) for number in range(600)]
    clock = count(100.0, 0.01)
    recent = RecentHeads(lambda _: Part.of(heads, is_first=True, is_last=False), lambda: next(clock))
    recent.expect(600)
    recent.look()
    recent.move({(head.task_type, 0): None for head in heads[:440]})
    assert len(recent.remembered()) == 160
    recent.move({(head.task_type, 0): None for head in heads[440:460]})
    assert not recent.remembered()

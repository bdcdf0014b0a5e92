"""Whose pages are read next: fairness among task types and among shards."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.heads.turns import Turns

heads = st.sets(st.tuples(st.sampled_from("abcd"), st.integers(0, 7)), min_size=1).map(
    lambda lanes: [Head(name, shard, -1.0) for name, shard in lanes]
)


def test_a_type_with_one_shard_has_a_place_in_each_round_beside_a_type_with_many() -> None:
    due = [*(Head("busy", shard, -1.0) for shard in range(64)), Head("lone", 3, -1.0)]
    turns = Turns()
    for _ in range(20):
        assert Head("lone", 3, -1.0) in turns.next(due, 4)


def test_with_one_place_the_types_take_turns() -> None:
    due = [Head(name, shard, -1.0) for name in "abc" for shard in range(2)]
    turns = Turns()
    assert [turns.next(due, 1)[0][:2] for _ in range(6)] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
        ("a", 1),
        ("b", 1),
        ("c", 1),
    ]


@given(heads, st.integers(1, 5))
def test_every_head_is_served_within_a_round_for_each_shard_of_each_type(due: list[Head], most: int) -> None:
    turns = Turns()
    served = {head for _ in range(4 * 8) for head in turns.next(due, most)}
    assert served == set(due)


@given(heads, st.integers(1, 40))
def test_a_round_serves_as_many_as_it_has_places_for_and_none_twice(due: list[Head], most: int) -> None:
    served = Turns().next(due, most)
    assert len(served) == len(set(served)) == min(most, len(due))

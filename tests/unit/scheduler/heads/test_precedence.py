"""Which rows come first: a model of lanes that are read until nothing is left."""

from __future__ import annotations

from bisect import bisect_right, insort

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow.outbox import Task
from asyncflow.scheduler.heads.precedence import NEVER, Bounds, Precedence
from asyncflow.scheduler.heads.queries import Head

Lanes = dict[int, list[int]]

lanes_of = st.dictionaries(
    st.integers(0, 20), st.lists(st.integers(0, 10**9), min_size=1, max_size=30).map(sorted), min_size=1
)
crowded_lanes = st.tuples(lanes_of, st.lists(st.integers(0, 10**6), min_size=50, max_size=150).map(sorted)).map(
    lambda parts: {**parts[0], 99: parts[1]}
)


def task(shard: int) -> Task:
    return Task(b"", "a", shard, None, None, None, 0, 0)


def read_all(lanes: Lanes, rows: int, most_lanes: int) -> tuple[list[int], int]:
    """Read round after round; return the moments in the order in which they were taken, and how many were read."""
    taken, read, _ = read_rounds(lanes, rows, most_lanes)
    return taken, read


def read_rounds(lanes: Lanes, rows: int, most_lanes: int) -> tuple[list[int], int, list[int]]:
    """Read round after round, as claims do; return what ``read_all`` does, and how many pages each round had."""
    left = {shard: list(moments) for shard, moments in lanes.items()}
    frontiers = {shard: moments[0] for shard, moments in lanes.items()}
    precedence = Precedence()
    taken: list[int] = []
    pages: list[int] = []
    read = 0
    while any(left.values()):
        heads = [Head("a", shard, -1.0, frontiers[shard]) for shard, moments in left.items() if moments]
        earliest = sorted(heads, key=lambda head: head.moment)[:most_lanes]
        portions = precedence.portions(precedence.nearest(earliest, rows), rows)
        pages.append(len(portions))
        found = [
            (portion.head.shard, moment) for portion in portions for moment in left[portion.head.shard][: portion.limit]
        ]
        served = {portion.head.shard for portion in portions}
        elsewhere = min((head.moment for head in heads if head.shard not in served), default=NEVER)
        moments = [moment for _, moment in found]
        got = precedence.take([task(shard) for shard, _ in found], moments, portions, Bounds(rows, rows, elsewhere))
        assert 1 <= len(got) <= rows
        read += len(found)
        for one in got:
            taken.append(left[one.shard].pop(0))
        for shard, frontier in precedence.moved.items():
            assert frontier is not None or not left[shard]
            frontiers[shard] = NEVER if frontier is None else frontier
    return taken, read, pages


def most_overtaken(taken: list[int]) -> int:
    seen: list[int] = []
    most = 0
    for moment in taken:
        most = max(most, len(seen) - bisect_right(seen, moment))
        insort(seen, moment)
    return most


@settings(max_examples=50, deadline=None)
@given(lanes_of, st.integers(1, 100), st.integers(1, 64))
def test_everything_is_taken_once_and_nobody_is_overtaken_by_more_than_a_round(
    lanes: Lanes, rows: int, most_lanes: int
) -> None:
    taken, _ = read_all(lanes, rows, most_lanes)
    assert sorted(taken) == sorted(moment for moments in lanes.values() for moment in moments)
    assert most_overtaken(taken) <= rows + 1


@settings(max_examples=50, deadline=None)
@given(crowded_lanes, st.integers(1, 100))
def test_a_lane_with_many_early_rows_is_overtaken_by_no_more_than_a_round(lanes: Lanes, rows: int) -> None:
    taken, _ = read_all(lanes, rows, 64)
    assert most_overtaken(taken) <= rows + 1


def test_of_lanes_whose_rows_lie_close_together_few_are_read_in_a_round_and_none_is_kept_back_by_a_second() -> None:
    lanes = {shard: [number * 6_400 + shard * 100 for number in range(300)] for shard in range(64)}
    taken, read, pages = read_rounds(lanes, 512, 64)
    assert sorted(taken) == sorted(moment for moments in lanes.values() for moment in moments)
    assert pages[0] == 64
    assert max(pages[1:20]) <= 16
    assert read < len(taken) * 1.1
    latest = 0
    for moment in taken:
        latest = max(latest, moment)
        assert moment > latest - 1_000_000


def test_of_lanes_whose_rows_lie_seconds_apart_all_are_read() -> None:
    lanes = {shard: [(number * 64 + shard) * 100_000 for number in range(60)] for shard in range(64)}
    taken, _, pages = read_rounds(lanes, 512, 64)
    assert min(pages[:6]) == 64
    assert most_overtaken(taken) <= 512 + 1


def test_after_a_lane_had_less_than_was_asked_of_it_all_are_read_for_a_while() -> None:
    lanes = {shard: [number * 64 + shard for number in range(300 if shard % 8 else 20)] for shard in range(64)}
    _, _, pages = read_rounds(lanes, 512, 64)
    first_short = next(number for number, count in enumerate(pages) if number and count < 64)
    assert min(pages[first_short + 1 : first_short + 9]) > 8


@settings(max_examples=50, deadline=None)
@given(lanes_of)
def test_one_at_a_time_is_in_order(lanes: Lanes) -> None:
    taken, read = read_all(lanes, 1, 64)
    assert taken == sorted(taken)
    assert read <= 2 * len(taken)


def test_a_head_that_was_taken_and_is_still_there_does_not_hold_its_lane_back() -> None:
    precedence = Precedence()
    head = Head("a", 1, -1.0, 5)
    portions = precedence.portions([head], 2)
    precedence.take([task(1)] * 3, [5, 7, 9], portions, Bounds(2, 2))
    assert precedence.frontier_of(head) == 9
    assert precedence.frontier_of(head._replace(moment=4)) == 4
    assert precedence.frontier_of(head._replace(moment=7)) == 7


def test_rounds_without_a_full_page_are_shared_out_however_many_there_were() -> None:
    precedence = Precedence()
    heads = [Head("a", shard, -1.0, 5 + shard) for shard in (1, 2)]
    portions = precedence.portions(heads, 64)
    full = [task(one.head.shard) for one in portions for _ in range(one.limit)]
    precedence.take(full, list(range(len(full))), portions, Bounds(64, 64))
    for number in range(3000):  # a float that is halved so often is none any more
        portions = precedence.portions(heads, 64)
        assert {portion.head.shard for portion in portions} == {1, 2}
        precedence.take([task(1)], [number], portions, Bounds(64, 64))


def test_of_many_rows_those_that_are_later_by_a_second_are_ahead() -> None:
    precedence = Precedence()
    heads = [Head("a", 1, -1.0, 0), Head("a", 2, -1.0, 0)]
    portions = precedence.portions(heads, 256)
    tasks = [task(one.head.shard) for one in portions for _ in range(one.limit)]
    for later, expected in ((1_000_000, {1}), (999_999, {1, 2})):
        moments = [0 if one.shard == 1 else later for one in tasks]
        taken = Precedence().take(tasks, moments, portions, Bounds(256, 0))
        assert {one.shard for one in taken} == expected

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.errors import OptionError
from asyncflow.scheduler.cluster.strategies import STRATEGIES, java_hash, minimal_movement, strategy_of

LEAST_HASH = "polygenelubricants"  # whose hash is Java's Integer.MIN_VALUE

names = st.text(max_size=20)
members = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=8, unique=True).map(sorted)
counts = st.integers(0, 40)


@st.composite
def views(draw: st.DrawFn) -> tuple[str, list[str], int, dict[int, str]]:
    """Return what members may see: some items owned by members, some by those who left, some by nobody."""
    present, count = draw(members), draw(counts)
    owners = draw(st.dictionaries(st.integers(-1, count + 2), st.sampled_from([*present, "gone"])))
    return draw(names), present, count, owners


def shares(strategy: str, job_name: str, count: int, *present: str) -> list[list[int]]:
    """Return the items of each member in order."""
    answer = strategy_of(strategy)(job_name, present, count, {})
    return [answer[member] for member in present]


# -- as ElasticJob ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a", 97),
        ("abc", 96354),
        ("test_job", -1146456432),
        ("outbox", -1005526083),
        ("hello world", 1794106052),
        ("任务", 647942),
        ("😀", 1772899),
        (LEAST_HASH, -(2**31)),
    ],
)
def test_a_name_hashes_as_in_java(text: str, expected: int) -> None:
    assert java_hash(text) == expected


@given(names)
def test_every_hash_is_a_java_int(text: str) -> None:
    assert -(2**31) <= java_hash(text) < 2**31


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (9, [[0, 1, 2], [3, 4, 5], [6, 7, 8]]),
        (8, [[0, 1, 6], [2, 3, 7], [4, 5]]),
        (10, [[0, 1, 2, 9], [3, 4, 5], [6, 7, 8]]),
        (2, [[0], [1], []]),
        (0, [[], [], []]),
    ],
)
def test_average_allocation_deals_blocks_and_the_remainder_from_the_first(
    count: int, expected: list[list[int]]
) -> None:
    assert shares("AVG_ALLOCATION", "any", count, "a", "b", "c") == expected


@pytest.mark.parametrize(
    ("job_name", "expected"),
    [
        ("a", [[0], [1], []]),  # 97 is odd
        ("b", [[], [1], [0]]),  # 98 is even
        ("outbox", [[0], [1], []]),  # -1005526083: negative and odd
        (LEAST_HASH, [[], [1], [0]]),
    ],
)
def test_odevity_deals_from_the_last_for_an_even_hash(job_name: str, expected: list[list[int]]) -> None:
    assert shares("ODEVITY", job_name, 2, "a", "b", "c") == expected


@pytest.mark.parametrize(
    ("job_name", "expected"),
    [
        ("a", [[], [0], [1]]),  # 97 % 3 == 1
        ("b", [[1], [], [0]]),  # 98 % 3 == 2
        ("c", [[0], [1], []]),
        ("test_job", [[0], [1], []]),  # its absolute value: 1146456432 % 3 == 0
        (LEAST_HASH, [[1], [], [0]]),  # where ElasticJob has no such index: 2147483648 % 3 == 2
    ],
)
def test_round_robin_deals_from_the_place_of_the_hash(job_name: str, expected: list[list[int]]) -> None:
    assert shares("ROUND_ROBIN", job_name, 2, "a", "b", "c") == expected


# -- all of them -----------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(STRATEGIES)), views())
def test_every_item_goes_to_one_member_and_no_share_exceeds_another_by_two(
    strategy: str, view: tuple[str, list[str], int, dict[int, str]]
) -> None:
    job_name, present, count, owners = view
    answer = strategy_of(strategy)(job_name, present, count, owners)
    assert set(answer) == set(present)
    assert sorted(item for items in answer.values() for item in items) == list(range(count))
    sizes = [len(items) for items in answer.values()]
    assert max(sizes) - min(sizes) <= 1
    assert all(items == sorted(items) for items in answer.values())


@given(st.sampled_from(sorted(STRATEGIES)), views())
def test_the_answer_depends_on_the_view_alone(strategy: str, view: tuple[str, list[str], int, dict[int, str]]) -> None:
    job_name, present, count, owners = view
    shuffled = dict(reversed(owners.items()))
    assert strategy_of(strategy)(*view) == strategy_of(strategy)(job_name, tuple(present), count, shuffled)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_without_members_nothing_is_dealt(strategy: str) -> None:
    assert strategy_of(strategy)("any", [], 3, {0: "gone"}) == {}


# -- minimal movement ------------------------------------------------------------------------------------


def kept(answer: Mapping[str, Sequence[int]], owners: Mapping[int, str]) -> int:
    return sum(owners.get(item) == member for member, items in answer.items() for item in items)


def most_that_balance_keeps(present: Sequence[str], count: int, owners: Mapping[int, str]) -> int:
    """Try every assignment: only for few items."""
    best = 0
    for dealt in product(present, repeat=count):
        sizes = [dealt.count(member) for member in present]
        if max(sizes) - min(sizes) <= 1:
            best = max(best, sum(owners.get(item) == member for item, member in enumerate(dealt)))
    return best


@given(
    st.integers(1, 3).map(lambda size: ["a", "b", "c"][:size]),
    st.integers(0, 6),
    st.dictionaries(st.integers(0, 5), st.sampled_from("abcd")),
)
def test_no_balanced_sharing_keeps_more(present: list[str], count: int, owners: dict[int, str]) -> None:
    answer = minimal_movement("any", present, count, owners)
    assert kept(answer, owners) == most_that_balance_keeps(present, count, owners)


@given(views())
def test_what_is_balanced_stays(view: tuple[str, list[str], int, dict[int, str]]) -> None:
    job_name, present, count, owners = view
    answer = minimal_movement(job_name, present, count, owners)
    settled = {item: member for member, items in answer.items() for item in items}
    assert minimal_movement(job_name, present, count, settled) == answer


def test_one_who_comes_takes_only_its_share() -> None:
    owners = dict(enumerate("aaaabbbb"))
    assert minimal_movement("c", ["a", "b", "c"], 8, owners) == {"a": [0, 1, 2], "b": [4, 5, 6], "c": [3, 7]}


def test_of_one_who_leaves_only_its_share_moves() -> None:
    owners = dict(enumerate("aaabbbcc"))
    assert minimal_movement("b", ["a", "b"], 8, owners) == {"a": [0, 1, 2, 6], "b": [3, 4, 5, 7]}


def test_jobs_of_one_item_spread_over_the_members() -> None:
    present = [f"instance-{number}" for number in range(4)]
    first = [minimal_movement(f"job-{number}", present, 1, {}) for number in range(40)]
    assert {member for answer in first for member, items in answer.items() if items} == set(present)


# -- names and functions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "meant"), [("AVG_ALOCATION", "AVG_ALLOCATION"), ("ROUNDROBIN", "ROUND_ROBIN"), ("ODEVTY", "ODEVITY")]
)
def test_a_misspelt_name_is_refused_with_the_nearest_one(given_: str, meant: str) -> None:
    with pytest.raises(OptionError, match=rf"sharding_strategy is '{given_}' \(did you mean '{meant}'\?\)"):
        strategy_of(given_)


@pytest.mark.parametrize("given_", ["", "zzz", None, 3, ["ODEVITY"]])
def test_what_is_no_strategy_is_refused_with_all_names(given_: Any) -> None:
    with pytest.raises(OptionError, match=r"sharding_strategy is .*MINIMAL_MOVEMENT, or a function"):
        strategy_of(given_)


def test_a_function_shares_out_as_it_likes() -> None:
    strategy = strategy_of(lambda job_name, present, count, owners: {present[-1]: range(count)})
    assert strategy("any", ["a", "b"], 3, {}) == {"a": [], "b": [0, 1, 2]}


@pytest.mark.parametrize(
    "answer",
    [None, {}, {"a": [0]}, {"a": [0, 1], "b": [1]}, {"a": [0, 1, 2]}, {"a": [0], "stranger": [1]}],
)
def test_a_function_that_loses_or_doubles_an_item_is_told_so(answer: Any) -> None:
    with pytest.raises(OptionError, match="exactly one of the members"):
        strategy_of(lambda *_: answer)("any", ["a", "b"], 2, {})

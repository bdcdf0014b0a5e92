"""A crowd of refused tasks is due again in pieces, none before its time, none much later."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow import Task
from asyncflow.scheduler.relay.retry_spread import MOST_LATER, TOGETHER, RetrySpread

ORDERED = {"moved"}


def tasks(count: int, task_type: str = "coupon", key: str | None = None) -> list[Task]:
    return [Task(uuid.uuid4(), task_type, 0, key, None, b"{}", 0, 3) for _ in range(count)]


class Clock:
    """Stand, until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_few_are_due_when_their_policy_says_and_at_once() -> None:
    spread, few = RetrySpread(Clock()), tasks(TOGETHER)
    assert spread.over({(2.0, "busy"): few}, ORDERED) == {(2.0, "busy"): few}


def test_rounds_of_a_few_each_are_all_due_when_their_policy_says() -> None:
    clock = Clock()
    spread = RetrySpread(clock)
    for _ in range(50):
        assert list(spread.over({(1.0, "busy"): tasks(10)}, ORDERED)) == [(1.0, "busy")]
        clock.now += 0.02


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0, 1.5, 86400.0]), st.integers(1, 3000)), max_size=6),
    st.floats(0, 5),
)
def test_all_go_on_none_earlier_than_its_wait_and_none_later_than_by_half_of_it(
    crowds: list[tuple[float, int]], pause: float
) -> None:
    clock = Clock()
    spread = RetrySpread(clock)
    for wait, count in crowds:
        crowd = tasks(count)
        parts = spread.over({(wait, "busy"): crowd}, ORDERED)
        assert sorted(task.raw_id for part in parts.values() for task in part) == sorted(task.raw_id for task in crowd)
        assert all(wait <= put_off <= wait * (1 + MOST_LATER) * (1 + 1e-9) for put_off, _ in parts)
        assert len(parts) <= 16
        clock.now += pause


def test_a_crowd_that_is_refused_again_and_again_comes_evenly() -> None:
    clock = Clock()
    spread = RetrySpread(clock)
    due: list[tuple[float, list[Task]]] = [(clock.now, tasks(2000))]
    came = Counter[int]()
    while clock.now < 1010:
        clock.now = min(moment for moment, _ in due)
        now = [task for moment, part in due if moment <= clock.now for task in part]
        due = [(moment, part) for moment, part in due if moment > clock.now]
        came[int(clock.now * 20)] += len(now)
        due += [(clock.now + wait, part) for (wait, _), part in spread.over({(1.0, "busy"): now}, ORDERED).items()]
    lately = [came[number] for number in range(20 * 1005, 20 * 1010)]
    assert sum(map(len, (part for _, part in due))) == 2000
    assert sum(lately) > 5 * 2000 / (1 + MOST_LATER) * 0.9  # so that none waits for ever
    assert max(lately) < 2.5 * sum(lately) / len(lately)  # in a twentieth of a second


def test_tasks_of_an_ordered_key_are_left_to_their_key() -> None:
    crowd = tasks(500, "moved", "a")
    assert RetrySpread(Clock()).over({(1.0, "busy"): crowd}, ORDERED) == {(1.0, "busy"): crowd}


def test_those_of_an_ordered_type_without_a_key_are_spread_like_others() -> None:
    both = [*tasks(500, "moved", "a"), *tasks(500, "moved")]
    parts = RetrySpread(Clock()).over({(1.0, "busy"): both}, ORDERED)
    assert len(parts) > 5
    assert parts[1.0, "busy"][:500] == both[:500]


@pytest.mark.parametrize("wait", [0.0, 1e-6])
def test_who_waits_for_nothing_is_put_off_for_nothing(wait: float) -> None:
    parts = RetrySpread(Clock()).over({(wait, "busy"): tasks(2000)}, ORDERED)
    assert max(put_off for put_off, _ in parts) <= wait * (1 + MOST_LATER)

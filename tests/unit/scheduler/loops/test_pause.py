from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.loops.pause import AdaptivePause
from asyncflow.scheduler.relay.round import RoundSize

LONG = 86400.0


def test_the_pause_doubles_up_to_the_longest() -> None:
    pause = AdaptivePause(1.0, 10.0)
    assert [pause.after_nothing(LONG) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_work_lets_it_begin_again() -> None:
    pause = AdaptivePause(1.0, 10.0)
    pause.after_nothing(LONG)
    pause.after_nothing(LONG)
    pause.reset()
    assert pause.after_nothing(LONG) == 1.0


def test_it_ends_when_the_next_task_is_due() -> None:
    pause = AdaptivePause(1.0, 10.0)
    for _ in range(5):
        pause.after_nothing(LONG)
    assert pause.after_nothing(3.5) == 3.5


def test_a_task_due_soon_does_not_make_it_spin() -> None:
    pause = AdaptivePause(1.0, 10.0)
    assert pause.after_nothing(0.0001) == 1.0
    assert pause.after_nothing(-5.0) == 1.0


@given(st.floats(0.001, 1), st.floats(0.001, 10), st.lists(st.floats(-10, 100), max_size=30))
def test_it_stays_within_its_bounds(shortest: float, longest: float, dues: list[float]) -> None:
    pause = AdaptivePause(shortest, longest)
    for due in dues:
        assert shortest <= pause.after_nothing(due) <= max(shortest, longest)


def test_the_first_round_is_small_and_rounds_double() -> None:
    size = RoundSize(2000, 10**9)
    rows = []
    for _ in range(6):
        rows.append(size.rows)
        size.observe(size.rows, size.rows)
    assert rows == [100, 200, 400, 800, 1600, 2000]


def test_large_rows_make_rounds_smaller() -> None:
    size = RoundSize(2000, 1000)
    size.observe(100, 10_000)
    assert size.rows == 10


def test_a_row_larger_than_the_limit_is_read_alone() -> None:
    size = RoundSize(2000, 1000)
    size.observe(1, 10**9)
    assert size.rows == 1


def test_nothing_read_teaches_nothing() -> None:
    size = RoundSize(2000, 1000)
    size.observe(0, 0)
    assert size.rows == 100


def test_the_limit_of_rows_holds_from_the_first_round() -> None:
    assert RoundSize(7, 10**9).rows == 7


@given(st.integers(1, 5000), st.integers(1, 10**8), st.lists(st.integers(0, 10**6), max_size=30))
def test_a_round_never_exceeds_its_limits_for_rows_of_a_kind(rows: int, most_bytes: int, sizes: list[int]) -> None:
    size = RoundSize(rows, most_bytes)
    for each in sizes:
        read = size.rows
        size.observe(read, read * each)
        assert 1 <= size.rows <= rows
        assert size.rows == 1 or size.rows * each <= most_bytes

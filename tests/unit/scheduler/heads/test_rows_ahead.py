"""Rows that were taken before earlier ones count until those are taken, and cost next to nothing meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.heads.queries import Moments
from asyncflow.scheduler.heads.rows_ahead import RowsAhead
from asyncflow.scheduler.table.timed_ids import Cut

some_runs = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9).map(sorted), min_size=1, max_size=9)


def rows_ahead(runs: list[list[int]], passed: int) -> RowsAhead:
    moments = [moment for run in runs for moment in run]
    ends = [sum(map(len, runs[: number + 1])) for number in range(len(runs))]
    return RowsAhead(moments, list(zip([0, *ends], ends, strict=False)), max(moments), passed)


@given(some_runs, st.lists(st.tuples(st.integers(0, 110), st.integers(0, 110)), min_size=1, max_size=12))
def test_they_count_until_all_that_is_earlier_is_taken_however_many_rounds_that_takes(
    runs: list[list[int]], rounds: list[tuple[int, int]]
) -> None:
    rows: RowsAhead | None = rows_ahead(runs, passed=0)
    left = [moment for run in runs for moment in run]
    for close, passed in rounds:
        assert (rows.later_than(close) if rows else 0) == sum(moment > close for moment in left)
        rows = rows.beyond(passed) if rows else None
        left = [moment for moment in left if moment > passed]
        assert (rows is None) is (not left)


def test_of_what_all_others_have_caught_up_with_the_last_alone_is_looked_at() -> None:
    read: list[int] = []

    def moment_of(text: Any) -> int:
        read.append(int(text))
        return read[-1]

    moments = Moments([f"x{moment:016}" for moment in range(1000)], Cut(1, moment_of))
    rows = RowsAhead(moments, [(start, start + 100) for start in range(0, 1000, 100)], 999, 500)
    assert rows.later_than(999) == 0
    assert rows.beyond(999) is None
    assert rows.beyond(700) is not None
    assert moments[200:300][5] == 205
    assert read == [205]

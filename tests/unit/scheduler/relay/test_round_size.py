"""Of how many lanes a round reads: of as many as fill it."""

from __future__ import annotations

from math import sqrt

import pytest

from asyncflow.scheduler.relay.round import Filled, RoundSize

ROWS = 2000


class Lanes:
    """Be very many lanes of so many rows each, and read rounds of them as relays do."""

    def __init__(self, each: float) -> None:
        self.each = each
        self.size = RoundSize(ROWS, 10**9)
        self.size.rows = ROWS

    def round(self, due: int = 10**6) -> int:
        """Read a round of up to so many lanes; return how many rows it took."""
        lanes = min(self.size.lanes, due)
        limit = ROWS / lanes + 2 * sqrt(ROWS / lanes)
        read = int(lanes * min(self.each, limit))
        taken = min(read, ROWS)
        self.size.observe(taken, taken, Filled(lanes, read, ROWS, int(lanes * limit)))
        return taken


@pytest.mark.parametrize("each", [2, 2.5, 3.1, 4, 5, 7, 9.9, 20, 31, 1000])
def test_rounds_over_lanes_of_a_few_rows_each_become_full_and_stay_so(each: float) -> None:
    lanes = Lanes(each)
    for _ in range(6):
        lanes.round()
    for _ in range(10):
        assert lanes.round() >= 0.95 * ROWS
        assert lanes.size.lanes * min(each, ROWS / 64) <= 1.05 * ROWS


def test_lanes_that_become_deeper_are_soon_read_by_fewer_pages() -> None:
    lanes = Lanes(2)
    for _ in range(6):
        lanes.round()
    lanes.each = 1000
    for _ in range(5):
        lanes.round()
    assert lanes.size.lanes == 64


def test_a_few_lanes_teach_nothing_of_many() -> None:
    lanes = Lanes(1)
    for _ in range(20):
        lanes.round(due=10)
    assert lanes.size.lanes == 64


def test_rounds_that_are_read_in_vain_read_fewer_lanes() -> None:
    size = RoundSize(ROWS, 10**9)
    size.observe(100, 100, Filled(64, 100, ROWS, 4000))
    assert size.lanes == 128
    size.observe(100, 100, Filled(128, ROWS, ROWS, 4000))
    assert size.lanes == 64


@pytest.mark.parametrize("each", [2, 2.5, 3.1, 4, 5, 7])
def test_rounds_of_too_many_lanes_are_soon_followed_by_those_of_as_many_as_fill_them(each: float) -> None:
    lanes = Lanes(each)
    lanes.size.lanes = 1024
    for _ in range(2):  # half as many a round at most
        lanes.round()
    assert 0.98 * ROWS <= lanes.size.lanes * each <= 1.05 * ROWS

"""Positions that roll-over has written, and those that it cannot have written."""

from __future__ import annotations

import pytest

from asyncflow.scheduler.upkeep.rolling.position import Position, fault_of, numbers_without_position

DROPPED_NEXT = Position(1, 500, 900.0, 800.0, 20.0)
CLOSED = Position(2, 500, 800.0, 700.0, None)
OPEN = Position(3, 20, 700.0, None, None)
AHEAD = Position(4, 0, None, None, None)


@pytest.mark.parametrize(
    "positions",
    [[], [OPEN], [OPEN, AHEAD], [CLOSED, OPEN], [DROPPED_NEXT, CLOSED, OPEN, AHEAD], [CLOSED, OPEN._replace(number=9)]],
)
def test_what_roll_over_writes_has_no_fault(positions: list[Position]) -> None:
    assert fault_of(positions) is None


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        ([OPEN._replace(number=0)], "number 0 has 20 rows"),
        ([OPEN._replace(row_count=-1)], "number 3 has -1 rows"),
        ([CLOSED], "none is open"),
        ([AHEAD], "none is open"),
        ([OPEN, OPEN._replace(number=5)], "3, 5 is open, and one has to be"),
        ([OPEN, CLOSED._replace(number=8)], "8 is not in the order"),
        ([AHEAD._replace(number=1), OPEN], "1 is not in the order"),
        ([AHEAD._replace(closed_for=1.0), OPEN], "number 4 is closed, and was never opened"),
        ([OPEN._replace(forgotten_for=1.0)], "number 3 is forgotten, and was never closed"),
    ],
)
def test_what_a_hand_made_of_them_is_told(positions: list[Position], said: str) -> None:
    assert said in str(fault_of(positions))


@pytest.mark.parametrize(
    ("positions", "numbers"),
    [
        ([], []),
        ([OPEN._replace(number=1), AHEAD._replace(number=2)], []),
        ([DROPPED_NEXT, CLOSED, OPEN, AHEAD], []),
        ([CLOSED, OPEN, AHEAD], [1]),
        ([DROPPED_NEXT, OPEN, AHEAD], [2]),
        ([OPEN, AHEAD._replace(number=2**31 - 1)], [2, 2**31 - 2]),
    ],
)
def test_a_number_that_is_left_out_is_known(positions: list[Position], numbers: list[int]) -> None:
    assert numbers_without_position(positions) == numbers

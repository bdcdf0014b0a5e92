"""The design of roll-over tables holds in every order of events; each of its rules, left out, is found to be missed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.models.roll_over import RollOver
from tests.unit.models.search import search


@pytest.mark.parametrize("sizes", [{}, {"kills": 2}], ids=["a kill", "two kills"])
def test_nothing_is_lost_nor_stuck_and_no_dropped_table_is_touched(sizes: dict[str, Any]) -> None:
    found = search(RollOver(**sizes))
    assert (found.fault, found.way) == (None, ())
    assert found.states > 30_000


@pytest.mark.long
@pytest.mark.parametrize("sizes", [{"tables": 3}, {"messages": 3, "instances": 1}], ids=["3 tables", "3 messages"])
def test_nor_with_more_of_them(sizes: dict[str, Any]) -> None:
    assert search(RollOver(**sizes)).fault is None


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("drops_when_forgotten", "a dropped table was read from, or written to"),
        ("puts_down_first", "a dropped table was read from, or written to"),
        ("seals_by_proof", "message 0 is lost with its table"),
        ("reads_all", "message 1 is due, and no instance would read it"),
        ("checks_again", "message 1 is lost with its table"),
    ],
)
def test_a_design_without_one_of_its_rules_is_found_to_be_wrong(rule: str, fault: str) -> None:
    found = search(RollOver(**{rule: False}))
    assert found.fault == fault
    assert found.way

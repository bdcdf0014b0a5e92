"""The design of numbered tables holds in every order of events; each of its rules, left out, is found to be missed."""

from __future__ import annotations

import pytest

from tests.unit.models.numbered_tables import NumberedTables
from tests.unit.models.search import search


def test_nothing_gets_into_a_closed_table_and_what_is_kept_is_found() -> None:
    found = search(NumberedTables())
    assert (found.fault, found.way) == (None, ())
    assert found.states > 1_000


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("counts_in", "row 1 got into 1, which was closed"),
        ("looks_again", "row 0 is kept, and was not found"),
    ],
)
def test_a_design_without_one_of_its_rules_is_found_to_be_wrong(rule: str, fault: str) -> None:
    found = search(NumberedTables(**{rule: False}))
    assert found.fault == fault
    assert found.way

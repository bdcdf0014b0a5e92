"""The positions of numbered tables, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row


class Position(NamedTuple):
    """Tell of one numbered table how many rows went into it, and for how many seconds it has been what it is."""

    number: int
    row_count: int
    opened_for: float | None
    closed_for: float | None
    forgotten_for: float | None

    @classmethod
    def of(cls, row: Row[Any]) -> Position:
        """Return a position as it was read."""
        number, row_count, *until = tuple(row)
        return cls(number, row_count, *(None if seconds is None else -float(seconds) for seconds in until))

    @property
    def is_open(self) -> bool:
        """Tell whether rows go into the table."""
        return self.opened_for is not None and self.closed_for is None

    @property
    def is_ahead(self) -> bool:
        """Tell whether the table was made and waits to be opened."""
        return self.opened_for is None


def fault_of(positions: Sequence[Position]) -> str | None:
    """Return what of the positions roll-over cannot have written; None if there is no such thing."""
    for one in positions:
        if one.number < 1 or one.row_count < 0:
            return f"number {one.number} has {one.row_count} rows"
        if one.is_ahead and one.closed_for is not None:
            return f"number {one.number} is closed, and was never opened"
        if one.closed_for is None and one.forgotten_for is not None:
            return f"number {one.number} is forgotten, and was never closed"
    return _fault_in_order(positions) if positions else None


def numbers_without_position(positions: Sequence[Position]) -> list[int]:
    """Return the numbers right before others that have none, though tables get theirs one after the other."""
    known = {one.number for one in positions}
    return sorted({number - 1 for number in known} - known - {0})


def _fault_in_order(positions: Sequence[Position]) -> str | None:
    opened = [one.number for one in positions if one.is_open]
    if len(opened) != 1:
        return f"{_listed(opened) or 'none'} is open, and one has to be"
    closed = [one.number for one in positions if one.closed_for is not None and one.number > opened[0]]
    ahead = [one.number for one in positions if one.is_ahead and one.number < opened[0]]
    if closed or ahead:
        return f"{_listed(closed + ahead)} is not in the order in which tables are opened; {opened[0]} is open"
    return None


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))

"""Counts as the points of a line, in a field of so many units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WIDTH, HEIGHT = 960, 160
_MARGIN = 4  # so that the thickness of a line is not cut


def sums_of(counts: Sequence[int], group: int) -> list[int]:
    """Return the sums of each so many counts."""
    return [sum(counts[start : start + group]) for start in range(0, len(counts), group)]


def points_of(counts: Sequence[int], top: int, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Return counts as the points of a polyline, of which ``top`` is at the upper edge.

    Points on a level stretch are left out: a line that is nothing but zeros has two.
    """
    step, usable = width / max(1, len(counts) - 1), height - 2 * _MARGIN
    return " ".join(
        f"{number * step:.0f},{height - _MARGIN - counts[number] / max(1, top) * usable:.1f}"
        for number in _turns(counts)
    )


def _turns(counts: Sequence[int]) -> Iterable[int]:
    last = len(counts) - 1
    for number, count in enumerate(counts):
        if number in (0, last) or not counts[number - 1] == count == counts[number + 1]:
            yield number

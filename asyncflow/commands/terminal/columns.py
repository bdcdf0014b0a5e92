"""Text that fits the terminal: wrapped paragraphs, and tables whose columns give way to each other."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

from asyncflow.text import printable

_LEAST_WIDTH = 40
_UNCUT = 100_000
_CUT = "…"


def width_of_terminal() -> int:
    """Return how many columns there are: those of the terminal, $COLUMNS, or 80."""
    return max(_LEAST_WIDTH, shutil.get_terminal_size().columns)


def width_of_table() -> int:
    """Return how wide a table may be: as the terminal is, or $COLUMNS; what a file or a program reads is not cut."""
    return width_of_terminal() if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNCUT


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a paragraph as lines of at most that width, words that are longer apart."""
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], width: int, *, whole: int = 0) -> str:
    """Return a table of at most that width; the widest columns are cut first. Numbers stand to the right.

    The first ``whole`` columns are never cut: ids and names that a person copies.
    """
    cells = [[printable("-" if value is None else value) for value in row] for row in rows]
    is_number = [
        bool(rows) and all(row[number] is None or isinstance(row[number], (int, float)) for row in rows)
        for number in range(len(headings))
    ]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths[whole:]) > 8:
        widest = max(range(whole, len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    lines = [_line(headings, widths, is_number), *(_line(row, widths, is_number) for row in cells)]
    return "\n".join(lines if rows else [*lines, "(nothing)"])


def _line(cells: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> str:
    cut = (
        cell if len(cell) <= width else cell[: max(1, width - 1)] + _CUT
        for cell, width in zip(cells, widths, strict=True)
    )
    told = (
        f"{cell:>{width}}" if right else f"{cell:<{width}}"
        for cell, width, right in zip(cut, widths, is_number, strict=True)
    )
    return "  ".join(told).rstrip()

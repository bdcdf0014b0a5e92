"""Text that fits the terminal: wrapped paragraphs, and tables whose columns give way to each other."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence

from asyncflow.commands.terminal.cells import cut, width_of, wrapped
from asyncflow.text import printable

_LEAST_WIDTH = 40
_LEAST_COLUMN = 8
_INDENT = "    "
_FIGURE = re.compile(r"-|(?:>=)?[\d.,]+[*+]?(?: (?:s|min|h|d))?")
_NOTHING = frozenset(("", "-", "0"))
Column = tuple[str, ...]  # its heading, and its cells


def width_of_terminal() -> int:
    """Return how many columns there are: those of the terminal, $COLUMNS, or 80."""
    return max(_LEAST_WIDTH, shutil.get_terminal_size().columns)


def width_of_tables() -> int | None:
    """Return the same where a person looks, or $COLUMNS says it; None for a pipe or a file: nothing is cut there."""
    is_seen = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return width_of_terminal() if is_seen else None


def paragraph(text: str, width: int, indent: str = "") -> list[str]:
    """Return a paragraph as lines of at most that width; words that are longer stand apart."""
    return wrapped(" ".join(printable(text).split()), width, indent)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], width: int | None, *, whole: int = 0) -> str:
    """Return a table of at most that width, if there is one. Figures stand to the right.

    Where there is too little room, columns in which there is nothing are left out; then the widest are cut; or, if
    little would be left of them, each row has a second line. The first ``whole`` columns are never cut: ids and names
    that a person copies.
    """
    cells = [[printable("-" if value is None else value) for value in row] for row in rows]
    columns: list[Column] = list(zip(headings, *cells, strict=True))
    if width is not None and _sum_of(_widths_of(columns)) > width:
        columns = [
            one for place, one in enumerate(columns) if place < max(1, whole) or not _NOTHING.issuperset(one[1:])
        ]
        if _least_of(columns, whole) > width:
            return "\n".join(_in_two(columns, width, whole))
    lines = _lines_of(columns, width, whole)
    return "\n".join(lines if rows else [*lines, "(nothing)"])


def _in_two(columns: Sequence[Column], width: int, whole: int) -> Iterator[str]:
    """Yield each row as a line, with as many columns as have room there, and a second one with the rest."""
    first = next(
        count for count in range(len(columns), 0, -1) if count == 1 or _least_of(columns[:count], whole) <= width
    )
    upper, lower = columns[:first], columns[first:]
    below = _lines_of(lower, width - len(_INDENT), 0)
    for line, more in zip(_lines_of(upper, width, whole), below, strict=True):
        yield line
        yield _INDENT + more


def _lines_of(columns: Sequence[Column], width: int | None, whole: int) -> list[str]:
    is_figure = [len(one) > 1 and all(map(_FIGURE.fullmatch, one[1:])) for one in columns]
    widths = _widths_of(columns)
    while width is not None and _sum_of(widths) > width and max(widths[whole:], default=0) > _LEAST_COLUMN:
        widest = max(range(whole, len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    return [_line(cells, widths, is_figure) for cells in zip(*columns, strict=True)]


def _widths_of(columns: Sequence[Column]) -> list[int]:
    return [max(map(width_of, one)) for one in columns]


def _least_of(columns: Sequence[Column], whole: int) -> int:
    widths = _widths_of(columns)
    return _sum_of([*widths[:whole], *(min(one, _LEAST_COLUMN) for one in widths[whole:])])


def _sum_of(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], is_figure: Sequence[bool]) -> str:
    told = []
    for cell, width, is_right in zip(cells, widths, is_figure, strict=True):
        text = cut(cell, width)
        space = " " * (width - width_of(text))
        told.append(space + text if is_right else text + space)
    return "  ".join(told).rstrip()

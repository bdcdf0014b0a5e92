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
_LEAST_COLUMN = 12
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
    little would be left of them, each row has further lines. The first ``whole`` columns are never cut: ids and names
    that a person copies.
    """
    cells = [[printable("-" if value is None else value) for value in row] for row in rows]
    columns: list[Column] = list(zip(headings, *cells, strict=True))
    if width is not None:
        columns = _sparing(columns, width, max(1, whole))
        if _least_of(columns, whole) > width:
            return "\n".join(_in_several(columns, width, whole))
    lines = _lines_of(columns, width, whole)
    return "\n".join(lines if rows else [*lines, "(nothing)"])


def _sparing(columns: list[Column], width: int, kept: int) -> list[Column]:
    """Leave out columns in which there is nothing, from the right, until the rest has room; the first ones are kept."""
    for place in range(len(columns) - 1, kept - 1, -1):
        if _sum_of(_widths_of(columns)) <= width:
            break
        if _NOTHING.issuperset(columns[place][1:]):
            columns = columns[:place] + columns[place + 1 :]
    return columns


def _in_several(columns: Sequence[Column], width: int, whole: int) -> Iterator[str]:
    """Yield each row as a line, with as many columns as have room there, and below it lines with the rest."""
    parts: list[list[Column]] = [list(columns[: max(1, whole)])]
    for column in columns[max(1, whole) :]:
        room = width if len(parts) == 1 else width - len(_INDENT)
        if _sum_of(_widths_of([*parts[-1], column])) <= room:
            parts[-1].append(column)
        else:
            parts.append([column])
    first, *rest = (
        _lines_of(part, width - len(_INDENT) * (number > 0), whole * (number == 0)) for number, part in enumerate(parts)
    )
    for line, *below in zip(first, *rest, strict=True):
        yield line
        yield from (_INDENT + more for more in below)


def _lines_of(columns: Sequence[Column], width: int | None, whole: int) -> list[str]:
    is_figure = [all(map(_FIGURE.fullmatch, one[1:])) and any(map(str.isdigit, "".join(one[1:]))) for one in columns]
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

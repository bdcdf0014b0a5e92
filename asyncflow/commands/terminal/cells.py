"""How much room a text takes in a terminal: a Chinese character takes that of two letters."""

from __future__ import annotations

from collections.abc import Iterator
from unicodedata import combining, east_asian_width

_CUT = "…"


def width_of(text: str) -> int:
    """Return how many columns a text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """Return a text that takes at most so many columns; of one that took more, a sign tells that it goes on."""
    if width_of(text) <= width:
        return text
    kept, room = "", max(1, width - 1)
    for character in text:
        room -= _width(character)
        if room < 0:
            break
        kept += character
    return kept + _CUT


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a paragraph as lines of at most that width: broken at spaces and behind wide characters alone."""
    lines: list[str] = []
    line = ""
    for part in _parts_of(text):
        if line and width_of(indent) + width_of(line) + width_of(part.rstrip()) > width:
            lines.append(f"{indent}{line.rstrip()}")
            line = ""
        line += part if line else part.lstrip()
    return [*lines, f"{indent}{line.rstrip()}"] if line.strip() else lines


def _parts_of(text: str) -> Iterator[str]:
    """Yield a text in the parts between which a line may end; no line begins with a mark that closes something."""
    part = ""
    for number, character in enumerate(text):
        part += character
        following = text[number + 1 : number + 2]
        is_end = character == " " or (_width(character) == 2 and following not in "，。；：、）”！？ ")
        if is_end or not following:
            yield part
            part = ""


def _width(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1

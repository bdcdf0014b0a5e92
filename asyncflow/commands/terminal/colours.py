"""Colours where a person looks, with the extra ``cli``: the same text, and words of state that stand out."""

from __future__ import annotations

import re
from typing import Any, TextIO

from asyncflow.integrations.terminal import rich_module

# By style; words as commands print them, and no part of others.
_WORDS = {
    "bold red": r"STUCK|FAILED|gone|\(no owner\)",
    "yellow": r"TROUBLE|RETRIED|CANCELLED|paused|leaving|\(off\)",
    "green": r"nothing is stuck|SUCCESS|well",
    "cyan": r"NOTICE|PENDING|PROCESSING|RUNNING",
}
_STYLES = {style: re.compile(rf"(?<![\w.@-])(?:{words})(?![\w.@-])") for style, words in _WORDS.items()}
_HEADING = re.compile(r" *[A-Z][A-Z0-9/(), ]*  [A-Z0-9/(), ]+")


def console_of(file: TextIO) -> Any | None:
    """Return a rich console for a terminal that shows colours; None for all else, and without the extra."""
    if not file.isatty():
        return None
    module = rich_module("console")
    if module is None:
        return None
    console = module.Console(file=file, highlight=False, markup=False, emoji=False)
    return None if console.no_color or console.color_system is None else console


def print_coloured(lines: list[str], console: Any) -> None:
    """Print lines as they are, with words of state in colours and headings bold; nothing in them is markup."""
    text_of = rich_module("text")
    for line in lines:
        text: Any = line if text_of is None else text_of.Text(line)
        if text_of is not None:
            _paint(text, line)
        console.print(text, soft_wrap=True)


def _paint(text: Any, line: str) -> None:
    if _HEADING.fullmatch(line):
        text.stylize("bold")
        return
    for style, words in _STYLES.items():
        for found in words.finditer(line):
            text.stylize(style, found.start(), found.end())

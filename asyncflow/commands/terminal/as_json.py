"""What commands print for programs: their answer as JSON, indented."""

from __future__ import annotations

import argparse
from typing import Any

import orjson

from asyncflow.text import in_ascii


def add_json_option(sub: argparse.ArgumentParser) -> None:
    """Add the option that asks for JSON."""
    sub.add_argument("--json", action="store_true", help="as JSON, for programs")


def as_json(answer: Any) -> str:
    """Return dataclasses, lists and mappings as JSON; bytes as text, what is no UTF-8 in them escaped.

    What a terminal would act on, or hide, is escaped as JSON has it, so that it can be printed and still be read.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    lines = orjson.dumps(answer, default=_plain, option=options).decode().split("\n")
    return "\n".join(map(printable_json, lines))


def printable_json(line: str) -> str:
    """Return a line of JSON that says the same, with all escaped that a terminal acts on or hides."""
    return line if line.isprintable() else "".join(one if one.isprintable() else in_ascii(one) for one in line)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return list(value) if isinstance(value, (set, frozenset, tuple)) else str(value)

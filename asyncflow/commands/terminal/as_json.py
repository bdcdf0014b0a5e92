"""What commands print for programs: their answer as JSON, indented."""

from __future__ import annotations

import argparse
from typing import Any

import orjson


def add_json_option(sub: argparse.ArgumentParser) -> None:
    """Add the option that asks for JSON."""
    sub.add_argument("--json", action="store_true", help="as JSON, for programs")


def as_json(answer: Any) -> str:
    """Return dataclasses, lists and mappings as JSON; bytes as text, what is no UTF-8 in them escaped."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(answer, default=_plain, option=options).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return list(value) if isinstance(value, (set, frozenset, tuple)) else str(value)

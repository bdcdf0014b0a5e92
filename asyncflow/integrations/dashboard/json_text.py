"""JSON that is read and written again with each number as it was: 1.10 stays 1.10, and no large one is rounded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class Number(str):
    """Hold a number as it is written."""

    __slots__ = ()


def read_json(text: str) -> Any:
    """Return what a text holds; raises ValueError, or RecursionError for what is nested too deeply."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_refuse)


def written(value: Any, indent: int | None = None, _depth: int = 0) -> str:
    """Return a value as JSON, with each level ``indent`` spaces further in, or as short as it can be."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        colon = ":" if indent is None else ": "
        inner = (f"{_quoted(name)}{colon}{written(one, indent, _depth + 1)}" for name, one in value.items())
        return _enclosed("{}", inner, indent, _depth)
    if isinstance(value, list):
        return _enclosed("[]", (written(one, indent, _depth + 1) for one in value), indent, _depth)
    return _quoted(value)


def _enclosed(brackets: str, inner: Iterable[str], indent: int | None, depth: int) -> str:
    parts = list(inner)
    if not parts or indent is None:
        return f"{brackets[0]}{','.join(parts)}{brackets[1]}"
    far, near = "\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth
    return f"{brackets[0]}{far}{f',{far}'.join(parts)}{near}{brackets[1]}"


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")

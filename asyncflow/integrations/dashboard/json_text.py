"""JSON that is read and written again with each number as it was: 1.10 stays 1.10, and no large one is rounded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any


class Number(str):
    """Hold a number as it is written."""

    __slots__ = ()


def read_json(text: str) -> Any:
    """Return what a text holds; raises ValueError, or RecursionError for what is nested too deeply."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_refuse)


def written(value: Any, indent: int | None = None, most: int | None = None) -> str:
    """Return a value as JSON, with each level ``indent`` spaces further in, or as short as it can be.

    Of what is longer than ``most`` characters its beginning, which is somewhat longer: deep in a nest each item has a
    line of its own, far in, so that all of them may be a thousand times as long as what was read.
    """
    parts: list[str] = []
    length = 0
    for part in _parts(value, indent, 0):
        parts.append(part)
        length += len(part)
        if most is not None and length > most:
            break
    return "".join(parts)


def _parts(value: Any, indent: int | None, depth: int) -> Iterator[str]:
    if isinstance(value, Number):
        yield str(value)
    elif isinstance(value, dict):
        colon = ":" if indent is None else ": "
        yield from _enclosed("{}", ((f"{_quoted(name)}{colon}", one) for name, one in value.items()), indent, depth)
    elif isinstance(value, list):
        yield from _enclosed("[]", (("", one) for one in value), indent, depth)
    else:
        yield _quoted(value)


def _enclosed(brackets: str, items: Iterable[tuple[str, Any]], indent: int | None, depth: int) -> Iterator[str]:
    far, near = ("", "") if indent is None else ("\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth)
    before = f"{brackets[0]}{far}"
    for name, one in items:
        yield f"{before}{name}"
        yield from _parts(one, indent, depth + 1)
        before = f",{far}"
    yield f"{near}{brackets[1]}" if before[0] == "," else brackets


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")

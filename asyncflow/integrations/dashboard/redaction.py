"""What of headers and payloads nobody is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Any

from asyncflow.errors import OptionError

MARK = "[redacted]"
_SECRETS = ("*authorization*", "*cookie*", "*password*", "*passwd*", "*secret*", "*token*", "*api?key*", "*apikey*")


@dataclass(frozen=True)
class Redaction:
    """Name the headers, and the fields of JSON payloads at any depth, whose values are not shown.

    Patterns, in which ``*`` stands for anything and ``?`` for one character; large and small letters are the same.
    """

    headers: Iterable[str] = _SECRETS
    fields: Iterable[str] = _SECRETS

    def __post_init__(self) -> None:
        for name in ("headers", "fields"):
            given = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(one, str) for one in given):
                raise OptionError(f'{name} of the redaction are no list of patterns; give such as ["*token*"]')
            object.__setattr__(self, name, tuple(given))

    def of_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers as they may be shown."""
        return {name: MARK if _fits(name, self.headers) else value for name, value in headers.items()}

    def of_json(self, value: Any) -> Any:
        """Return what JSON held as it may be shown."""
        if isinstance(value, dict):
            return {name: MARK if _fits(name, self.fields) else self.of_json(inner) for name, inner in value.items()}
        return [self.of_json(inner) for inner in value] if isinstance(value, list) else value


def put_back(shown: Any, original: Any) -> Any:
    """Return what a person made of a redacted value, with what was redacted as it was; raises OptionError.

    A mark stands for the value that the original has in the same place.
    """
    if shown == MARK:
        if original is _NOTHING:
            raise OptionError(f"{MARK} stands where nothing was redacted; write the value, or leave the field out")
        return original
    if isinstance(shown, dict):
        known = original if isinstance(original, dict) else {}
        return {name: put_back(inner, known.get(name, _NOTHING)) for name, inner in shown.items()}
    if isinstance(shown, list):
        places = original if isinstance(original, list) else []
        return [
            put_back(inner, places[number] if number < len(places) else _NOTHING) for number, inner in enumerate(shown)
        ]
    return shown


_NOTHING = object()


def _fits(name: Any, patterns: Iterable[str]) -> bool:
    return _any_of(tuple(patterns)).match(str(name).lower()) is not None


@lru_cache(maxsize=32)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches a name that fits any of them; nothing does where there are none."""
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or "(?!)")

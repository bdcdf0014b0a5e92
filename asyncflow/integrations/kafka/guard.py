"""Refuse the native options that would break what the outbox promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from asyncflow.errors import OptionError


class Rule(NamedTuple):
    """Say which values of a native option are harmless, and what to do instead of another."""

    allows: Callable[[object], bool]
    remedy: str


def refuse(where: str, options: Mapping[str, object], rules: Mapping[str, Rule]) -> None:
    """Raise OptionError for the first option whose value its rule does not allow."""
    for name, value in options.items():
        rule = rules.get(name)
        if rule is not None and not rule.allows(value):
            raise OptionError(f"{where}: client option {name}={value!r} is refused: {rule.remedy}")


def never(remedy: str) -> Rule:
    """Return the rule of an option that the publisher sets itself."""
    return Rule(lambda _: False, remedy)


def only(remedy: str, *values: object) -> Rule:
    """Return the rule of an option that may state what holds anyway."""
    allowed = {str(value).lower() for value in values}
    return Rule(lambda value: str(value).lower() in allowed, remedy)


def between(remedy: str, least: float, most: float = float("inf")) -> Rule:
    """Return the rule of a number, limits included."""
    return Rule(lambda value: _is_between(value, least, most), remedy)


def _is_between(value: object, least: float, most: float) -> bool:
    try:
        return least <= float(str(value)) <= most
    except ValueError:
        return False

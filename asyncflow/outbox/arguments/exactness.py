"""Exactness: whether a value came back as it was."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime, time
from typing import Any


def is_same(given: Any, back: Any) -> bool:
    """Tell whether two values are equal and of the same types, all that they hold included."""
    if type(given) is not type(back):
        return False
    if isinstance(given, (list, tuple)):
        return len(given) == len(back) and all(map(is_same, given, back))
    if isinstance(given, dict):
        return given.keys() == back.keys() and all(is_same(one, back[key]) for key, one in given.items())
    if is_dataclass(given):
        return all(is_same(getattr(given, one.name), getattr(back, one.name)) for one in fields(given))
    if isinstance(given, (set, frozenset)):
        kinds = {one: type(one) for one in given}
        return bool(given == back) and all(kinds[one] is type(one) for one in back)
    if isinstance(given, (datetime, time)):  # those of two zones are never equal in the hour that comes twice
        return given.isoformat() == str(back.isoformat()) and (given.tzinfo is not None or given.fold == back.fold)
    return bool(given == back)

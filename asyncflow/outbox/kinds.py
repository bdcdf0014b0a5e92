"""Kinds of arguments: what an annotation accepts in the caller, and how its JSON becomes a value again."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, Union, get_args, get_origin
from uuid import UUID

Revive = Callable[[Any], Any]


class Kind(NamedTuple):
    """Tell what values an annotation accepts, and how to make one from its JSON; ``revive`` None keeps it."""

    accepts: tuple[type, ...]
    refuses: tuple[type, ...] = ()
    revive: Revive | None = None

    def fits(self, value: Any) -> bool:
        """Tell whether the value may be given for this annotation."""
        return isinstance(value, self.accepts) and not isinstance(value, self.refuses)


_PLAIN: dict[Any, Kind] = {
    str: Kind((str,)),
    bool: Kind((bool,)),
    int: Kind((int,), refuses=(bool,)),
    float: Kind((int, float), refuses=(bool,)),
    list: Kind((list, tuple)),
    dict: Kind((Mapping,)),
    None: Kind((type(None),)),
    type(None): Kind((type(None),)),
    UUID: Kind((UUID,), revive=UUID),
    Decimal: Kind((Decimal,), revive=Decimal),
    # A datetime is a date to Python, but not the other way round.
    datetime: Kind((datetime,), revive=lambda text: datetime.fromisoformat(text.replace("Z", "+00:00"))),
    date: Kind((date,), refuses=(datetime,), revive=date.fromisoformat),
    time: Kind((time,), revive=time.fromisoformat),
}


def kind_of(annotation: Any) -> Kind | None:
    """Return the kind of an annotation; None for one that is not checked, such as ``Any`` or a TypedDict."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _union([kind_of(part) for part in get_args(annotation)])
    if origin in (list, dict):
        return _PLAIN[origin]
    return _class_kind(annotation) if isinstance(annotation, type) and origin is None else None


def _class_kind(kind: Any) -> Kind | None:
    make: Any = kind
    if hasattr(kind, "model_validate"):
        return Kind((kind,), revive=kind.model_validate)
    if issubclass(kind, Enum):
        return Kind((kind,), revive=kind)
    if is_dataclass(kind):
        return Kind((make,), revive=lambda fields: make(**fields))
    return None


def _union(parts: list[Kind | None]) -> Kind | None:
    """Return the kind of ``A | B``; what was given is told from its JSON only for an optional value."""
    kinds = [part for part in parts if part is not None]
    if len(kinds) < len(parts):
        return None
    accepts = tuple(each for kind in kinds for each in kind.accepts)
    refuses = tuple(each for kind in kinds for each in kind.refuses if each not in accepts)
    revivers = [kind.revive for kind in kinds if kind.revive is not None]
    if len(revivers) == 1 and len([kind for kind in kinds if kind.accepts != (type(None),)]) == 1:
        revive = revivers[0]
        return Kind(accepts, refuses, lambda value: None if value is None else revive(value))
    return Kind(accepts, refuses)

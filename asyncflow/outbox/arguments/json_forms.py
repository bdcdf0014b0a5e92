"""How the JSON of an argument becomes the argument again: one small function for each form of annotation.

Each is strict: text that looks like a number stays refused, and a list is made a tuple only where one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.arguments.kind import (
    ARRAY,
    BOOLEAN,
    DICT,
    LIST,
    NULL,
    NUMBER,
    OBJECT,
    TEXT,
    Kind,
    deep,
    revived,
    same,
)

STR = Kind(accepts=(str,), revive=same(str), forms=frozenset({TEXT}))
BOOL = Kind(accepts=(bool,), revive=same(bool), forms=frozenset({BOOLEAN}))
INT = Kind(accepts=(int,), refuses=(bool,), revive=same(int), forms=frozenset({NUMBER}))
FLOAT = Kind(accepts=(int, float), refuses=(bool,), revive=same(float, int), forms=frozenset({NUMBER}))
NONE = Kind(accepts=(type(None),), revive=same(type(None)), forms=frozenset({NULL}))


def array(make: type, item: Kind | None) -> Kind:
    """Return the kind of a list, tuple, set or frozenset of any length with items of one kind; None: any JSON."""

    def revive(value: Any) -> Any:
        return make(value if item is None else [item.revive(one) for one in LIST(value)])

    is_plain = make is list and (item is None or item.is_plain)
    return deep(make, revive, ARRAY, is_plain=is_plain)


def row(items: list[Kind | None], make: Callable[[Iterable[Any]], Any]) -> Kind:
    """Return the kind of a tuple with an item of each of these kinds."""

    def revive(value: Any) -> Any:
        if len(LIST(value)) != len(items):
            raise ValueError(f"{value!r:.60} has {len(value)} items, not {len(items)}")
        return make([revived(kind, one) for kind, one in zip(items, value, strict=True)])

    return deep(tuple, revive, ARRAY)


def mapping(item: Kind | None) -> Kind:
    """Return the kind of a dict from text to items of one kind."""

    def revive(value: Any) -> Any:
        return {key: revived(item, one) for key, one in DICT(value).items()}

    return deep(dict, revive, OBJECT, is_plain=item is None or item.is_plain)


def choice(values: tuple[Any, ...]) -> Kind:
    """Return the kind of a Literal: text, whole numbers, booleans, None and members of enums."""
    written = tuple(value.value if isinstance(value, Enum) else value for value in values)
    return _listed(values, written, "one of " + ", ".join(map(repr, values)))


def enumeration(kind: type[Enum]) -> Kind:
    """Return the kind of an Enum whose members' values are text, numbers, booleans or None."""
    members = tuple(kind)
    values = tuple(member.value for member in members)
    if any(type(value) not in (str, int, float, bool, type(None)) for value in values):
        raise OptionError(f"the members of {kind.__qualname__} have values that are not JSON's; take text or numbers")
    return _listed(members, values, f"a value of {kind.__qualname__}")


def _listed(values: tuple[Any, ...], written: tuple[Any, ...], told: str) -> Kind:
    known = {(type(json), json): value for value, json in zip(values, written, strict=True)}
    if len(known) < len(set(values)):
        raise OptionError(f"{told} could not be told apart in JSON; give them different values")

    def revive(value: Any) -> Any:
        try:
            return known[type(value), value]
        except (KeyError, TypeError):
            raise ValueError(f"{value!r:.60} is not {told}") from None

    return Kind(
        accepts=tuple({type(value) for value in values}),
        revive=revive,
        forms=frozenset(_form(one) for one in written),
        is_plain=values == written and not any(isinstance(value, Enum) for value in values),
        is_shallow=False,
        values=written,
    )


def _form(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOLEAN
    return TEXT if isinstance(value, str) else NUMBER


def is_wrapper(origin: Any) -> bool:
    """Tell whether a generic annotation only adds something to another: Required, NotRequired, ReadOnly, Final."""
    return getattr(origin, "_name", None) in ("Required", "NotRequired", "ReadOnly", "Final")

"""How the JSON of an argument becomes the argument again: one small function for each form of annotation.

Each is strict: text that looks like a number stays refused, and a list is made a tuple only where one is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, get_type_hints, is_typeddict
from uuid import UUID

from asyncflow.errors import OptionError

Revive = Callable[[Any], Any]
KindOf = Callable[[Any], "Kind | None"]

NULL, BOOLEAN, NUMBER, TEXT, ARRAY, OBJECT = "null", "boolean", "number", "text", "array", "object"
_DURATION = re.compile(r"(-)?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Tell what an annotation accepts, and how to make it from its JSON.

    ``revive`` returns the value for the JSON of one, and raises ValueError or TypeError for what is none.
    """

    accepts: tuple[type, ...]
    revive: Revive
    forms: frozenset[str]  # of JSON that it may have
    refuses: tuple[type, ...] = ()
    is_plain: bool = True  # its JSON is the value itself
    is_shallow: bool = True  # what it accepts is told by the type alone
    values: tuple[Any, ...] | None = None  # the JSON of all its values, where they are listed

    def fits(self, value: Any) -> bool:
        """Tell whether the value may be given for this annotation, by its type."""
        return isinstance(value, self.accepts) and not isinstance(value, self.refuses)


def same(*accepts: type) -> Revive:
    """Return what keeps a value of these types and refuses all others."""

    def keep(value: Any) -> Any:
        if type(value) not in accepts:
            raise TypeError(f"{value!r:.60} is a {type(value).__qualname__}, not {accepts[0].__name__}")
        return value

    return keep


def text(kind: type, make: Callable[[str], Any]) -> Kind:
    """Return the kind of a type that is written as text."""

    def revive(value: Any) -> Any:
        return make(_STR(value))

    # A datetime is a date to Python, but not the other way round.
    refuses = (datetime,) if kind is date else ()
    is_exact = kind in (UUID, Decimal, date)  # a moment may have an offset that text cannot hold
    return Kind(
        accepts=(kind,), refuses=refuses, revive=revive, forms=frozenset({TEXT}), is_plain=False, is_shallow=is_exact
    )


_STR = same(str)
STR = Kind(accepts=(str,), revive=_STR, forms=frozenset({TEXT}))
BOOL = Kind(accepts=(bool,), revive=same(bool), forms=frozenset({BOOLEAN}))
INT = Kind(accepts=(int,), refuses=(bool,), revive=same(int), forms=frozenset({NUMBER}))
FLOAT = Kind(accepts=(int, float), refuses=(bool,), revive=same(float, int), forms=frozenset({NUMBER}))
NONE = Kind(accepts=(type(None),), revive=same(type(None)), forms=frozenset({NULL}))


def uuid_of_text(value: str) -> UUID:
    """Return the UUID of its text, with hyphens or without."""
    return UUID(value)


def decimal_of(value: str) -> Decimal:
    """Return the exact decimal of its text."""
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r:.60} is no decimal number") from None


def datetime_of(value: str) -> datetime:
    """Return the moment of RFC 3339, or one without a zone; a date alone is none."""
    if len(value) <= 10:
        raise ValueError(f"{value!r:.60} is no date with a time")
    return datetime.fromisoformat(value.replace("Z", "+00:00"))


def date_of(value: str) -> date:
    """Return the date of YYYY-MM-DD."""
    if len(value) != 10:
        raise ValueError(f"{value!r:.60} is no date such as 2026-01-31")
    return date.fromisoformat(value)


def time_of(value: str) -> time:
    """Return the time of day of HH:MM:SS."""
    if value[2:3] != ":":
        raise ValueError(f"{value!r:.60} is no time such as 12:30:00")
    return time.fromisoformat(value)


def timedelta_of(value: str) -> timedelta:
    """Return the duration of ISO 8601, such as P1DT2H3.5S; years and months have no fixed length."""
    found = _DURATION.fullmatch(value)
    if found is None or value[-1] in "PT":
        raise ValueError(f"{value!r:.60} is no duration such as P1DT2H or PT3.5S")
    sign, days, hours, minutes, seconds, fraction = found.groups()
    whole = timedelta(days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0), seconds=int(seconds or 0))
    duration = whole + timedelta(microseconds=int((fraction or "").ljust(6, "0")))
    return -duration if sign else duration


def array(make: type, item: Kind | None) -> Kind:
    """Return the kind of a list, tuple, set or frozenset of any length with items of one kind; None: any JSON."""

    def revive(value: Any) -> Any:
        return make(value if item is None else [item.revive(one) for one in _LIST(value)])

    is_plain = make is list and (item is None or item.is_plain)
    return _deep(make, revive, ARRAY, is_plain=is_plain)


def row(items: list[Kind | None], make: Callable[[Iterable[Any]], Any]) -> Kind:
    """Return the kind of a tuple with an item of each of these kinds."""

    def revive(value: Any) -> Any:
        if len(_LIST(value)) != len(items):
            raise ValueError(f"{value!r:.60} has {len(value)} items, not {len(items)}")
        return make([_revived(kind, one) for kind, one in zip(items, value, strict=True)])

    return _deep(tuple, revive, ARRAY)


def mapping(item: Kind | None) -> Kind:
    """Return the kind of a dict from text to items of one kind."""

    def revive(value: Any) -> Any:
        return {key: _revived(item, one) for key, one in _DICT(value).items()}

    return _deep(dict, revive, OBJECT, is_plain=item is None or item.is_plain)


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


def fields_of(kind: Any, kind_of: KindOf) -> Kind:
    """Return the kind of a dataclass, NamedTuple or TypedDict, by the annotations of its fields."""
    try:
        hints = get_type_hints(kind)
    except Exception as error:
        raise OptionError(
            f"the annotations of {kind.__qualname__} cannot be read: {error}; import their names outside TYPE_CHECKING"
        ) from error
    if is_typeddict(kind):
        return _typed_dict(kind, {name: kind_of(hint) for name, hint in hints.items()})
    if hasattr(kind, "_fields"):
        return _as_given(kind, row([kind_of(hints.get(name, Any)) for name in kind._fields], kind._make))
    return _dataclass(kind, {one.name: kind_of(hints.get(one.name, Any)) for one in fields(kind) if one.init})


def _dataclass(kind: Any, kinds: Mapping[str, Kind | None]) -> Kind:
    hidden = next((name for name in kinds if name.startswith("_")), None)
    if hidden is not None:
        raise OptionError(f"the field {hidden!r} of {kind.__qualname__} is not written to JSON; name it without the _")
    computed = {one.name for one in fields(kind) if not one.init}

    def revive(value: Any) -> Any:
        given = {key: one for key, one in _DICT(value).items() if key not in computed}
        _refuse_unknown(kind, given, kinds)
        return kind(**{key: _revived(kinds[key], one) for key, one in given.items()})

    return _deep(kind, revive, OBJECT)


def _typed_dict(kind: Any, kinds: Mapping[str, Kind | None]) -> Kind:
    def revive(value: Any) -> Any:
        _refuse_unknown(kind, _DICT(value), kinds)
        missing = sorted(kind.__required_keys__ - value.keys())
        if missing:
            raise ValueError(f"{missing[0]!r} is missing for {kind.__qualname__}")
        return {key: _revived(kinds[key], one) for key, one in value.items()}

    return _deep(dict, revive, OBJECT, is_plain=all(one is None or one.is_plain for one in kinds.values()))


def _refuse_unknown(kind: Any, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    unknown = next((key for key in given if key not in known), None)
    if unknown is not None:
        raise ValueError(f"{kind.__qualname__} has no field {unknown!r}")


def later(kind: Any, made: list[Kind | None]) -> Kind:
    """Return the kind of a class within itself, when its own is being made; ``made`` will hold that."""
    return _deep(kind, lambda value: _revived(made[0], value), OBJECT)


def _deep(make: Any, revive: Revive, form: str, *, is_plain: bool = False) -> Kind:
    return Kind(accepts=(make,), revive=revive, forms=frozenset({form}), is_plain=is_plain, is_shallow=False)


def _as_given(make: Any, kind: Kind) -> Kind:
    return _deep(make, kind.revive, ARRAY)


def _revived(kind: Kind | None, value: Any) -> Any:
    return value if kind is None else kind.revive(value)


def _form(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOLEAN
    return TEXT if isinstance(value, str) else NUMBER


_LIST = same(list)
_DICT = same(dict)


def is_wrapper(origin: Any) -> bool:
    """Tell whether a generic annotation only adds something to another: Required, NotRequired, ReadOnly, Final."""
    return getattr(origin, "_name", None) in ("Required", "NotRequired", "ReadOnly", "Final")

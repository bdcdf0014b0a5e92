"""What is written as text, and becomes again what it was."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from uuid import UUID

from asyncflow.outbox.arguments.kind import TEXT, Kind, same
from asyncflow.outbox.payload import SECOND_TIME

_DURATION = re.compile(r"(-)?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?")
_STR = same(str)
_Moment = TypeVar("_Moment", datetime, time)


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
    if value.endswith(SECOND_TIME):
        return _second(datetime.fromisoformat(value.removesuffix(SECOND_TIME)))
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
    if value.endswith(SECOND_TIME):
        return _second(time.fromisoformat(value.removesuffix(SECOND_TIME)))
    return time.fromisoformat(value)


def _second(moment: _Moment) -> _Moment:
    """Return the second of two times that look alike; raises ValueError for one that its offset tells already."""
    if moment.tzinfo is not None:
        raise ValueError(f"{moment} has an offset, and no {SECOND_TIME}")
    return moment.replace(fold=1)


def timedelta_of(value: str) -> timedelta:
    """Return the duration of ISO 8601, such as P1DT2H3.5S; years and months have no fixed length."""
    found = _DURATION.fullmatch(value)
    if found is None or value[-1] in "PT":
        raise ValueError(f"{value!r:.60} is no duration such as P1DT2H or PT3.5S")
    sign, days, hours, minutes, seconds, fraction = found.groups()
    whole = timedelta(days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0), seconds=int(seconds or 0))
    duration = whole + timedelta(microseconds=int((fraction or "").ljust(6, "0")))
    return -duration if sign else duration

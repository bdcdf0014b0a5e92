"""How long a receiver asks to be left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

_MOST_DIGITS = 9


def seconds_asked(headers: Mapping[str, str], most_seconds: float, clock: Callable[[], float] = time.time) -> float:
    """Return the seconds that ``Retry-After`` asks for, from 0 to ``most_seconds``; 0 for none, or one at fault.

    A date is compared with the answer's own ``Date``: the clocks of two machines differ.
    """
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return min(float(told[: _MOST_DIGITS + 1]), most_seconds)
    until = _moment(told)
    if until is None:
        return 0.0
    now = _moment(headers.get("date", "")) or datetime.fromtimestamp(clock(), timezone.utc)
    return min(max(0.0, (until - now).total_seconds()), most_seconds)


def _moment(text: str) -> datetime | None:
    with suppress(ValueError, TypeError, OverflowError, IndexError):
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return None

"""Stretches: the times between two changes of a zone's clocks, in which local time is UTC plus a constant."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple

_STEP = timedelta(days=2)  # shorter than any stretch: that of Freetown in 1939 lasted four days
_BEFORE = timedelta(days=2)  # of a year: the days in which a gap that reaches into it began
_SECOND = timedelta(seconds=1)


class Stretch(NamedTuple):
    """Hold a stretch from ``start`` up to ``end``, both naive and in UTC; the end of a year also ends one."""

    start: datetime
    end: datetime
    offset: timedelta  # local time less UTC
    offset_before: timedelta  # of the stretch before

    @property
    def gap(self) -> timedelta:
        """Return how much local time its start leaves out, where clocks were put forward; else nothing or less."""
        return self.offset - self.offset_before


def stretch_at(zone: tzinfo, moment: datetime) -> Stretch:
    """Return the zone's stretch in which the moment is, naive and in UTC."""
    return next(stretch for stretch in _stretches(zone, moment.year) if moment < stretch.end)


@lru_cache(maxsize=4096)
def _stretches(zone: tzinfo, year: int) -> tuple[Stretch, ...]:
    """Return the stretches of a year in UTC, the first begins two days before it."""
    start, end = datetime(year, 1, 1) - _BEFORE, datetime(year + 1, 1, 1)
    offset = offset_before = _offset(zone, start)
    stretches: list[Stretch] = []
    shown = start  # a moment at which the offset still holds
    while shown < end - _SECOND:
        following = min(shown + _STEP, end - _SECOND)
        if _offset(zone, following) != offset:
            change = _change(zone, shown, following)
            stretches.append(Stretch(start, change, offset, offset_before))
            start, offset_before, offset = change, offset, _offset(zone, change)
        shown = following
    return (*stretches, Stretch(start, end, offset, offset_before))


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """Return the first second at which the offset is no longer that of ``before``; at ``after`` it is not."""
    offset = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    offset = moment.replace(tzinfo=timezone.utc).astimezone(zone).utcoffset()
    assert offset is not None
    return offset

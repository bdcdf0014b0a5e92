"""Crontab lines: which local times they name. What a time zone makes of those is ``due_times``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, datetime, time

from asyncflow.errors import OptionError
from asyncflow.outbox.cron.fields import DAY, HOUR, LAST, MINUTE, MONTH, SECOND, WEEKDAY

_REMEDY = (
    "give a crontab line of 5 fields: minute hour day month weekday, or of 6 with seconds first; with 'or' before the "
    "weekday the day or the weekday is enough"
)
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Crontab:
    """Know the local times that a crontab line names; 0 and 7 are Sunday, and a day and a weekday must both fit.

    With ``or`` between the month and the weekday one of them is enough, as crontab has it: ``0 3 13 * or fri``. One
    that is ``*`` then leaves it to the other. ``option`` is the name of the line in an OptionError.
    """

    line: str
    option: str = "cron"
    _months: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _days: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _weekdays: frozenset[int] = field(init=False, repr=False, compare=False)
    _is_either: bool = field(init=False, repr=False, compare=False)
    _times: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = self.line.split()
        has_or = len(fields) > 5 and fields[-2].lower() == "or"
        if has_or:
            del fields[-2]
        if len(fields) not in (5, 6):
            raise OptionError(f"{self.option} is {self.line!r}, of {len(fields)} fields; {_REMEDY}")
        second, minute, hour, day, month, weekday = fields if len(fields) == 6 else ["0", *fields]
        try:
            parsed = {
                "_times": (HOUR.values(hour), MINUTE.values(minute), SECOND.values(second)),
                "_days": DAY.values(day),
                "_months": MONTH.values(month),
                "_weekdays": frozenset((number - 1) % 7 for number in WEEKDAY.values(weekday)),  # as date.weekday()
            }
        except ValueError as error:
            raise OptionError(f"{self.option} is {self.line!r}: {error}; {_REMEDY}") from error
        for name, value in parsed.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_is_either", has_or and not day.startswith("*") and not weekday.startswith("*"))
        if (
            not self._is_either
            and self._days[0] > max(_LONGEST_MONTHS[number - 1] for number in self._months)
            and LAST not in self._days
        ):
            raise OptionError(
                f"{self.option} is {self.line!r}, which is never due; give a day of the month that its months have"
            )

    def at_or_after(self, wall: datetime) -> datetime:
        """Return the first of its times that is not before ``wall``; both are local and naive, in whole seconds."""
        day = wall.date()
        if self._names(day):
            later = self._time_at_or_after(wall.time())
            if later is not None:
                return datetime.combine(day, later)
        return datetime.combine(self._first_date_after(day), self._first_time())

    def _names(self, day: date) -> bool:
        return day.month in self._months and day in self._dates_of(day.year, day.month)

    def _first_date_after(self, day: date) -> date:
        for year in range(day.year, date.max.year + 1):
            for month in self._months:
                if (year, month) >= (day.year, day.month):
                    for following in self._dates_of(year, month):
                        if following > day:
                            return following
        raise OverflowError(f"{self.option} is {self.line!r}, which is not due after {day} in any year of four digits")

    def _dates_of(self, year: int, month: int) -> list[date]:
        last = monthrange(year, month)[1]
        days = {last if number == LAST else number for number in self._days}
        if self._is_either:
            every = (date(year, month, number) for number in range(1, last + 1))
            return [one for one in every if one.day in days or one.weekday() in self._weekdays]
        dates = [date(year, month, number) for number in sorted(days) if number <= last]
        return dates if len(self._weekdays) == 7 else [day for day in dates if day.weekday() in self._weekdays]

    def _first_time(self) -> time:
        hours, minutes, seconds = self._times
        return time(hours[0], minutes[0], seconds[0])

    def _time_at_or_after(self, wall: time) -> time | None:
        """Return the first time of day that is not before the wall clock's; None when the day is over."""
        hours, minutes, seconds = self._times
        hour, minute, second = wall.hour, wall.minute, wall.second
        if hour in hours and minute in minutes and second <= seconds[-1]:
            return time(hour, minute, seconds[bisect_left(seconds, second)])
        if hour in hours and minute < minutes[-1]:
            return time(hour, minutes[bisect_right(minutes, minute)], seconds[0])
        if hour < hours[-1]:
            return time(hours[bisect_right(hours, hour)], minutes[0], seconds[0])
        return None

"""Crontab lines with crontab's own weekdays.

APScheduler counts Monday as 0, crontab(5) Sunday; here 0 and 7 are Sunday.
"""

from __future__ import annotations

from datetime import tzinfo

from apscheduler.triggers.cron import CronTrigger

from asyncflow.errors import OptionError

_REMEDY = "give a crontab line of 5 fields: minute hour day month weekday, or of 6 with seconds first"
_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def cron_trigger(line: str, option: str, timezone: tzinfo | None = None) -> CronTrigger:
    """Return the trigger of a crontab line of 5 fields, or of 6 with seconds first; by default in local time.

    Raises OptionError, which names the ``option``.
    """
    fields = line.split()
    if len(fields) not in (5, 6):
        raise OptionError(f"{option} is {line!r}, of {len(fields)} fields; {_REMEDY}")
    second, minute, hour, day, month, weekday = fields if len(fields) == 6 else ["0", *fields]
    try:
        return CronTrigger(
            second=second,
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=weekdays(weekday),
            timezone=timezone,
        )
    except ValueError as error:
        raise OptionError(f"{option} is {line!r}: {error}; {_REMEDY}") from error


def weekdays(field: str) -> str:
    """Translate a crontab weekday field into names, which mean the same to APScheduler; '*' stays.

    Raises ValueError for what is no weekday.
    """
    if field == "*":
        return field
    days = {day for part in field.lower().split(",") for day in _part(part)}
    return ",".join(_NAMES[day] for day in sorted(days))


def _part(part: str) -> list[int]:
    span, stepped, step = part.partition("/")
    if span == "*":
        first, last = 0, 6
    else:
        start, ranged, end = span.partition("-")
        first = _day(start)
        last = _day(end) if ranged else (6 if stepped else first)
    if last < first:
        last += 7  # "fri-mon" runs over the weekend
    return [day % 7 for day in range(first, last + 1, _step(step) if stepped else 1)]


def _step(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ValueError(f"{text!r} is no step of weekdays")


def _day(text: str) -> int:
    if text in _NAMES:
        return _NAMES.index(text)
    if text.isdecimal() and int(text) <= 7:
        return int(text)
    raise ValueError(f"{text!r} is no weekday")

"""When something is due, again and again: a crontab line in a time zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from asyncflow.errors import OptionError
from asyncflow.outbox.crontab import cron_trigger
from asyncflow.outbox.tables import CRON_LENGTH, TIMEZONE_LENGTH
from asyncflow.outbox.text import require_text, shown

RESOLUTION = timedelta(microseconds=1)
_SOME_DAY = datetime(2000, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Plan:
    """Know the due times of a crontab line, in the local time of a zone such as "Europe/Berlin".

    Where clocks are put forward, a time that is left out is due an hour later; where they are put back, one that
    comes twice is due twice. Raises OptionError.
    """

    cron: str  # a crontab line of 5 fields, or of 6 with seconds first
    timezone: str = "UTC"  # in whose local time the line is meant
    _trigger: CronTrigger = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_text("cron", self.cron, CRON_LENGTH, OptionError)
        object.__setattr__(self, "_trigger", cron_trigger(self.cron, "cron", _zone(self.timezone)))
        if self._trigger.get_next_fire_time(None, _SOME_DAY) is None:
            raise OptionError(f"cron is {self.cron!r}, which is never due; give a day that its months have")

    def next_after(self, moment: datetime) -> datetime:
        """Return the first due time after ``moment``, in UTC."""
        # The trigger answers with the moment itself if that is a due time.
        following: datetime = self._trigger.get_next_fire_time(None, moment + RESOLUTION)
        return following.astimezone(timezone.utc)


@lru_cache(maxsize=1024)
def plan_of(cron: str, timezone: str) -> Plan:
    """Return the plan, made once for all that have it; raises OptionError."""
    return Plan(cron, timezone)


def _zone(name: Any) -> tzinfo:
    require_text("timezone", name, TIMEZONE_LENGTH, OptionError)
    if name == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # not found, no key at all, a directory
        raise OptionError(
            f"timezone is {shown(name)}, which is not known here; give an IANA name such as 'Europe/Berlin', "
            f"or install the package tzdata"
        ) from error

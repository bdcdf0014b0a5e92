"""When something is due, again and again: a crontab line in a time zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox.cron.crontab import Crontab
from asyncflow.outbox.cron.due_times import DueTimes
from asyncflow.outbox.tables import CRON_LENGTH, TIMEZONE_LENGTH
from asyncflow.text import require_text, shown

RESOLUTION = timedelta(microseconds=1)


@dataclass(frozen=True)
class Plan:
    """Know the due times of a crontab line, in the local time of a zone such as "Europe/Berlin".

    Where clocks are put forward, a time that is left out is due an hour later (by as much as they are put forward);
    where they are put back, one that comes twice is due twice. Raises OptionError.
    """

    cron: str  # a crontab line of 5 fields, or of 6 with seconds first
    timezone: str = "UTC"  # in whose local time the line is meant
    _due_times: DueTimes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_text("cron", self.cron, CRON_LENGTH, OptionError)
        object.__setattr__(self, "_due_times", DueTimes(Crontab(self.cron), zone_of(self.timezone)))

    def next_after(self, moment: datetime) -> datetime:
        """Return the first due time after ``moment``, in UTC; raises OptionError for one beyond all that are known."""
        return self._due_times.after(moment)


@lru_cache(maxsize=1024)
def plan_of(cron: str, timezone: str) -> Plan:
    """Return the plan, made once for all that have it; raises OptionError."""
    return Plan(cron, timezone)


def zone_of(name: Any) -> tzinfo:
    """Return the time zone of an IANA name; raises OptionError."""
    require_text("timezone", name, TIMEZONE_LENGTH, OptionError)
    if name == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # not found, no key at all, a directory
        raise OptionError(
            f"timezone is {shown(name)}, which is not known here{nearest(name, available_timezones())}; give an IANA "
            f"name such as 'Europe/Berlin', or install the package tzdata"
        ) from error

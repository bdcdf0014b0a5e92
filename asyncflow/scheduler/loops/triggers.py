"""Triggers of ticks, from intervals and crontab lines."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from asyncflow.errors import OptionError
from asyncflow.outbox.cron.crontab import Crontab
from asyncflow.outbox.cron.due_times import DueTimes
from asyncflow.outbox.cron.plan import RESOLUTION
from asyncflow.outbox.options import is_number

LONGEST_SECONDS = 10 * 365 * 86400.0  # of any setting: clocks, dates and waits overflow far beyond it


class MachineTime(tzinfo):
    """Be this machine's local time as its C library has it, whatever TZ says: "CST-8" is no name of a zone."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return the offset at a local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> None:
        """Return None: how much of the offset is summer time nobody asks."""

    def tzname(self, moment: datetime | None) -> str:
        """Return what it is called."""
        return "this machine's time"

    def fromutc(self, moment: datetime) -> datetime:
        """Return the local time of a moment: of one that comes twice, the one that is meant."""
        there = moment.replace(tzinfo=timezone.utc).astimezone()
        local = there.replace(tzinfo=None)
        is_second = local.astimezone().utcoffset() != there.utcoffset()
        return local.replace(tzinfo=self, fold=int(is_second))


class CronTrigger(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """Let the metronome beat at the due times of a crontab line, in a time zone, by default the metronome's own.

    That is this machine's.
    """

    def __init__(self, crontab: Crontab, zone: tzinfo | None = None) -> None:
        self._crontab = crontab
        self._zone = zone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the due time after the previous one; at first, the one at or after ``now``."""
        # Not only after the previous one: a clock that was put back must not silence the ticks until it is there again.
        after = now - RESOLUTION if previous_fire_time is None else min(previous_fire_time, now)
        zone = self._zone or now.tzinfo or timezone.utc
        return DueTimes(self._crontab, zone).after(after).astimezone(zone)


def trigger_of(tick: Any, option: str = "tick", zone: tzinfo | None = None) -> BaseTrigger:
    """Return an interval trigger for a number of seconds, a cron trigger for a crontab line of 5 or 6 fields.

    A sixth field, of seconds, stands before the others; the line is meant in the local time of ``zone``, None: of this
    machine. Raises OptionError, which names the ``option``.
    """
    if isinstance(tick, str):
        return CronTrigger(Crontab(tick, option), zone)
    if not is_number(tick) or not 0.001 <= tick <= LONGEST_SECONDS:
        raise OptionError(
            f"{option} is {tick!r}; give seconds from 0.001 to {LONGEST_SECONDS:.0f}, "
            f"or a crontab line such as '*/5 * * * *'"
        )
    return every(tick)


def every(seconds: float) -> BaseTrigger:
    """Return an interval trigger, which needs no time zone of this machine's."""
    return IntervalTrigger(seconds=seconds, timezone=timezone.utc)

"""Triggers of ticks, from intervals and crontab lines."""

from __future__ import annotations

from typing import Any

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from asyncflow.errors import OptionError
from asyncflow.outbox.crontab import cron_trigger

LONGEST_SECONDS = 10 * 365 * 86400.0  # of any setting: clocks, dates and waits overflow far beyond it


def trigger_of(tick: Any, option: str = "tick") -> BaseTrigger:
    """Return an interval trigger for a number of seconds, a cron trigger for a crontab line of 5 or 6 fields.

    A sixth field, of seconds, stands before the others. Raises OptionError, which names the ``option``.
    """
    if isinstance(tick, str):
        return cron_trigger(tick, option)
    if isinstance(tick, bool) or not isinstance(tick, (int, float)) or not 0.001 <= tick <= LONGEST_SECONDS:
        raise OptionError(
            f"{option} is {tick!r}; give seconds from 0.001 to {LONGEST_SECONDS:.0f}, "
            f"or a crontab line such as '*/5 * * * *'"
        )
    return IntervalTrigger(seconds=tick)

"""Due times: the moments that a crontab line names in a time zone, through all changes of its clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from asyncflow.errors import OptionError
from asyncflow.outbox.cron.crontab import Crontab
from asyncflow.outbox.cron.stretches import Stretch, stretch_at

_SECOND = timedelta(seconds=1)
_MOST_CHANGE = timedelta(days=2)  # clocks are put forward or back by less: at the date line by a day


@dataclass(frozen=True)
class DueTimes:
    """Find the due times of a line in the local time of a zone.

    A local time that exists is due whenever clocks show it: twice where they are put back over it. One that is left
    out where they are put forward is due later by as much as they are put forward: 02:30 is due at 03:30, and once
    only if the line names 03:30 as well.
    """

    crontab: Crontab
    zone: tzinfo

    def after(self, moment: datetime) -> datetime:
        """Return the first due time after an aware ``moment``, in UTC; the answer depends on nothing else.

        Raises OptionError for one at the end of the years that can be written, or at their beginning.
        """
        try:
            return self._first_after(moment)
        except (OverflowError, ValueError) as error:
            raise OptionError(
                f"moment is {moment}: {self.crontab.option} {self.crontab.line!r} has no due time after it that could "
                f"be written; give a moment of the years 2 to 9900, or set the clock right that showed this one"
            ) from error

    def _first_after(self, moment: datetime) -> datetime:
        start = moment.astimezone(timezone.utc).replace(microsecond=0, tzinfo=None) + _SECOND
        while True:
            stretch = stretch_at(self.zone, start)
            due = min(self._at_or_after(start, stretch))
            if due < stretch.end:
                return due.replace(tzinfo=timezone.utc)
            # Nothing is due long before the next local time that the line names; near by, clocks may be put back.
            is_far = stretch.end - start > _MOST_CHANGE
            start = max(stretch.end, due - _MOST_CHANGE) if is_far else stretch.end

    def _at_or_after(self, start: datetime, stretch: Stretch) -> list[datetime]:
        """Return the first due time from ``start`` on of those that exist, and likewise of those left out."""
        due = [self.crontab.at_or_after(start + stretch.offset) - stretch.offset]
        gap_end = stretch.start + stretch.gap
        if start < gap_end:
            left_out = self.crontab.at_or_after(start + stretch.offset_before) - stretch.offset_before
            due += [left_out] if left_out < gap_end else []
        return due

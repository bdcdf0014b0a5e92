"""The fields of a crontab line: from their text to the numbers that they name."""

from __future__ import annotations

from dataclasses import dataclass

LAST = 32  # stands for "last", the last day of any month; sorts behind the others
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class CronField:
    """Know what one field may hold: "*", numbers, names and ranges, each with a step "/n", in a list with commas."""

    noun: str
    least: int
    most: int
    names: tuple[str, ...] = ()  # for the numbers from ``least`` on
    wraps: bool = False  # a range may run over the end, and ``most`` is ``least`` again: fri-mon, 7 for Sunday
    takes_last: bool = False

    def values(self, text: str) -> tuple[int, ...]:
        """Return the numbers that the field names, in order; raises ValueError, telling the part at fault."""
        return tuple(sorted({number for part in text.lower().split(",") for number in self._part(part)}))

    def _part(self, part: str) -> list[int]:
        if self.takes_last and part == "last":
            return [LAST]
        span, stepped, step = part.partition("/")
        if span == "*":
            first, last = self.least, self._end
        else:
            start, ranged, end = span.partition("-")
            first = self._number(start)
            last = self._number(end) if ranged else (self._end if stepped else first)
        if last < first:
            if not self.wraps:
                raise ValueError(f"{part!r} runs backward in the field of {self.noun}s; write two ranges")
            last += self._size
        numbers = range(first, last + 1, self._step(step) if stepped else 1)
        return [self.least + (number - self.least) % self._size for number in numbers]

    @property
    def _end(self) -> int:
        """Return the last value that is no other's second name, as 7 is Sunday's."""
        return self.most - 1 if self.wraps else self.most

    @property
    def _size(self) -> int:
        return self._end - self.least + 1

    def _step(self, text: str) -> int:
        if not _is_number(text) or int(text) == 0:
            raise ValueError(f"{text!r} is no step of {self.noun}s; give a whole number above 0")
        if int(text) >= self._size and not self.wraps:
            raise ValueError(f"the step {text} is higher than the maximum, {self._size - 1}, for {self.noun}s")
        return int(text)

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.least + self.names.index(text)
        if not _is_number(text):
            raise ValueError(f"{text!r} is no {self.noun}")
        if int(text) > self.most:
            raise ValueError(f"{text!r} is no {self.noun}; it is higher than the maximum, {self.most}")
        if int(text) < self.least:
            raise ValueError(f"{text!r} is no {self.noun}; it is lower than the minimum, {self.least}")
        return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4


SECOND = CronField("second", 0, 59)
MINUTE = CronField("minute", 0, 59)
HOUR = CronField("hour", 0, 23)
DAY = CronField("day", 1, 31, takes_last=True)
MONTH = CronField("month", 1, 12, _MONTHS)
WEEKDAY = CronField("weekday", 0, 7, _WEEKDAYS, wraps=True)

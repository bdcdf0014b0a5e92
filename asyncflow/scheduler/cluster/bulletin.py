"""What an instance tells of itself in its row: with which renewals of its lease that is written anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_RENEWALS = 3  # after which figures that have changed are written; what else has changed is written with the next one


class Told(NamedTuple):
    """Hold the text for the row, and the part of it whose change is worth writing at once."""

    lasting: str
    text: str


# Asked with how many seconds this process's clock is ahead of the database's, None before that is known. Raises
# nothing, for a lease hangs on it; None tells nothing new.
Informant = Callable[[float | None], Told | None]


class Bulletin:
    """Let a renewal carry what has changed, and most renewals nothing; used by the cluster's thread alone."""

    def __init__(self, informant: Informant = lambda _: None) -> None:
        self._informant = informant
        self._written: Told | None = None
        self._renewals = 0

    def ask(self, informant: Informant) -> None:
        """Ask this one from now on: it is made when all that it tells of is made."""
        self._informant = informant

    def due(self, seconds_ahead: float | None) -> Told | None:
        """Return what the renewal that comes is to write; None if what is written will do."""
        self._renewals += 1
        told, written = self._informant(seconds_ahead), self._written
        if told is None or written is None or told.lasting != written.lasting:
            return told
        return told if told.text != written.text and self._renewals >= _RENEWALS else None

    def note_written(self, told: Told) -> None:
        """Know what is in the row now."""
        self._written, self._renewals = told, 0

    def forget(self) -> None:
        """Know that nothing may be in the row: the next renewal writes it."""
        self._written = None


class ClockGap:
    """Know how far this process's clock is ahead of the database's, from looks that bring the database's along.

    What it returns changes only when the gap does: a round trip more or less is no news.
    """

    _NEWS_SECONDS = 0.25

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock  # seconds since 1970
        self.seconds_ahead: float | None = None

    def now(self) -> float:
        """Return this process's time."""
        return self._clock()

    def take_in(self, asked_at: float, database_now: float) -> None:
        """Take in the database's time of a look that was asked for at ``asked_at`` and has just been answered."""
        answered_at = self._clock()
        if answered_at - asked_at > self._NEWS_SECONDS:
            return  # somewhere in between
        gap = (asked_at + answered_at) / 2 - database_now
        if self.seconds_ahead is None or abs(gap - self.seconds_ahead) > self._NEWS_SECONDS:
            self.seconds_ahead = round(gap, 1) + 0.0

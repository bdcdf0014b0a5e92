"""Whose sign has been the same for a session, by the clock of who looks: no clock but its own is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_PART_UNSEEN = 1 / 2  # of a session: who has seen nothing for so long cannot tell who is silent
_PART_OF_WORK = 2 / 3  # of a session: so long works whoever gave a sign


class SignSession(NamedTuple):
    """Hold after how many ``seconds`` without a new sign an instance is missed, and what follows from that."""

    seconds: float

    @property
    def work_seconds(self) -> float:
        """Return how long what a sign tells may be worked on: less than others wait, also when one sign is lost."""
        return self.seconds * _PART_OF_WORK


class _Timed(NamedTuple):
    text: str
    since: float
    was_another: bool = False  # before


class SignWatch:
    """Time the signs of others; lives as long as its instance, used by one thread at a time."""

    def __init__(self, session: SignSession) -> None:
        self._session = session
        self.answered_at = float("-inf")
        self._seen: dict[tuple[str, str], _Timed] = {}
        self._latest = float("-inf")  # of those whose text is no older, nobody is silent

    def silent(
        self, signs: Mapping[str, Mapping[str, str]], asked_at: float, answered_at: float
    ) -> dict[str, list[str]]:
        """Take in the texts of signs, by job and instance; return who has been silent for a session, by job.

        A text counts from when its first answer had come to when the last was asked for. Whoever saw nothing for half
        a session gives everybody a whole one anew: the board may have been away for them, too.
        """
        if asked_at - self.answered_at > self._session.seconds * _PART_UNSEEN:
            self._seen = {}
        self.answered_at = answered_at
        self._seen = {
            (job, name): self._look(job, name, text, answered_at)
            for job, texts in signs.items()
            for name, text in texts.items()
        }
        self._latest = asked_at - self._session.seconds
        return {job: [name for name in texts if self._is_silent(self._seen[job, name])] for job, texts in signs.items()}

    def unproven(self, job: str) -> frozenset[str]:
        """Return of whom the last answer told a sign, in a job, that does not show that they live.

        It is the first one that was seen of them, which the dead have, too, or has been the same for a session.
        """
        mine = {name: one for (its_job, name), one in self._seen.items() if its_job == job}
        return frozenset(name for name, one in mine.items() if not one.was_another or self._is_silent(one))

    def _is_silent(self, one: _Timed) -> bool:
        return one.since <= self._latest

    def _look(self, job: str, name: str, text: str, now: float) -> _Timed:
        known = self._seen.get((job, name))
        return known if known is not None and known.text == text else _Timed(text, now, known is not None)

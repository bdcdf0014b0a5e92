"""The way back: what a worker tells of its claims, in notes that the broker keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from asyncflow.scheduler.queues.notes import ClaimNote, Reached, held_by, note_of
from asyncflow.scheduler.task_queue import TellingBack
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.verdict import Verdict, outcome_named

_AT_ONCE = 200  # claims in one note
_MOST_CHARACTERS = 250_000  # of results in one note, if it is not of one alone


class WayBack:
    """Tell by one line to the broker, one thread at a time; any thread uses it. Raises UnreachableError."""

    def __init__(self, telling: TellingBack, lease_seconds: float) -> None:
        self._telling = telling
        self._lease_seconds = lease_seconds
        self._lock = threading.Lock()

    def at_work(self, claims: Iterable[Claim]) -> None:
        """Tell that these are at work, and are to last for another lease."""
        held = held_by(claims)
        self._tell(ClaimNote(renewed=part, lease_seconds=self._lease_seconds) for part in _parts(held))

    def reached(self, reached: Reached) -> None:
        """Tell how far a claim has come, which lasts for another lease."""
        self._tell([ClaimNote(renewed=[reached.held], lease_seconds=self._lease_seconds, reached=[reached])])

    def settled(self, outcomes: Sequence[ClaimOutcome], reached: Sequence[Reached] = ()) -> None:
        """Tell what became of these, and how far some of them have come: a scheduler may hear of both in any order."""
        by_claim = {one.held: one for one in reached}
        self._tell(
            ClaimNote(reached=[by_claim[one.held] for one in part if one.held in by_claim], outcomes=part)
            for part in _parts_that_fit(outcomes)
        )

    def close(self) -> None:
        """End the line."""
        with self._lock:
            self._telling.close()

    def _tell(self, notes: Iterable[ClaimNote]) -> None:
        bodies = [note_of(note) for note in notes]
        with self._lock:
            self._telling.tell(bodies)


def outcome_of_claim(claim: Claim, verdict: Verdict) -> ClaimOutcome:
    """Return a verdict as a scheduler takes it, which applies the type's policy itself."""
    name, delay = outcome_named(verdict)
    held = HeldClaim(claim.task.id, claim.token)
    return ClaimOutcome(held, name, delay, f"{verdict.error}{verdict.frames}", claim.result)


def _parts_that_fit(outcomes: Sequence[ClaimOutcome]) -> Iterator[Sequence[ClaimOutcome]]:
    """Return the outcomes in parts, of each of which what handlers returned goes into one message of a broker."""
    part: list[ClaimOutcome] = []
    size = 0
    for outcome in outcomes:
        its_size = 0 if outcome.result is None else len(outcome.result.text)
        if part and (len(part) == _AT_ONCE or size + its_size > _MOST_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(outcome)
        size += its_size
    if part:
        yield part


def _parts(items: Sequence) -> list[Sequence]:  # type: ignore[type-arg]
    return [items[first : first + _AT_ONCE] for first in range(0, len(items), _AT_ONCE)]

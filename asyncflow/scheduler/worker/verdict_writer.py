"""The verdicts on claims, until they are written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, repeat
from operator import attrgetter
from typing import NamedTuple

from asyncflow.events import Hooks
from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.waits import Waits
from asyncflow.scheduler.loops.second_writer import SecondWriter
from asyncflow.scheduler.loops.settled_events import Ending, SettledEvents
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import ClaimSource, Written
from asyncflow.scheduler.worker.verdict import Verdict

JudgedClaim = tuple[Claim, Verdict]


class _WrittenVerdicts(NamedTuple):
    """Tell what was written, and how long it took."""

    written: Sequence[Written]
    seconds: float


class VerdictWriter:
    """Write verdicts and tell of them; lives as long as its worker, used by its thread alone.

    While a backlog streams, some are written by a second writer, as the next tasks are claimed. What could not be
    written, because the database or the service is away, is kept and written first.
    """

    def __init__(self, source: ClaimSource, hooks: Hooks, destination: str) -> None:
        self._source = source
        self._events = SettledEvents(hooks, destination)
        self._judged: list[JudgedClaim] = []
        self._second_writer: SecondWriter[_WrittenVerdicts] = SecondWriter(destination, hooks)
        self._judged_by_second: list[JudgedClaim] = []  # those that the second writer writes

    def __bool__(self) -> bool:
        return bool(self._judged or self._second_writer)

    def add(self, claims: Iterable[Claim], verdict: Verdict) -> None:
        """Take in a verdict on claims, to be written by the next ``write``."""
        self._judged += zip(claims, repeat(verdict))

    def write(self, *, by_second: bool) -> None:
        """Write all verdicts, here or ``by_second`` writer; then these may be unwritten as it returns, and no others.

        Raises what the source raises, and what that left unwritten is kept. What the second writer could not write is
        written here.
        """
        self._end_second_writer()
        if not self._source.takes_second_writer:
            by_second = False
        elif not by_second:
            self._source.end_second_writer()
        if self._judged and by_second and self._second_writer.is_free:
            judged, self._judged = self._judged, []
            self._judged_by_second = judged
            self._second_writer.begin(lambda: self._settle(judged, by_second=True))
        elif self._judged:
            settled = self._settle(self._judged, by_second=False)
            self._judged = _unwritten(self._judged, settled.written)
            self._tell(settled)

    def close(self) -> None:
        """End the thread."""
        self._second_writer.close()

    def _end_second_writer(self) -> None:
        settled = self._second_writer.end()
        left = _unwritten(self._judged_by_second, settled.written if settled is not None else ())
        self._judged, self._judged_by_second = left + self._judged, []
        if settled is not None:
            self._tell(settled)

    def _settle(self, judged: Sequence[JudgedClaim], *, by_second: bool) -> _WrittenVerdicts:
        began = time.perf_counter()
        return _WrittenVerdicts(self._source.settle(judged, by_second=by_second), time.perf_counter() - began)

    def _tell(self, settled: _WrittenVerdicts) -> None:
        """Tell of what is written."""
        if not settled.written:
            return  # all of it is left for a lock, or for the service
        counts, of_types, spent = Counter[Status](), Counter[str](), list[Claim]()
        for verdict, claims, changed in settled.written:
            # Where some are lost it is not known which; these are fenced off, and few.
            told = _to_tell(verdict, claims, changed)
            counts[verdict.status] += len(told)
            if verdict.status is Status.SUCCESS:
                of_types.update(map(attrgetter("task.task_type"), told))
            if verdict.is_spent:
                spent += told
            if changed == len(claims) and verdict.is_told:
                self._events.of_each(_endings(verdict, claims))
        self._events.of_fenced(sum(len(claims) - changed for _, claims, changed in settled.written))
        self._events.of_all(counts, of_types, settled.seconds, waits_of(spent))


def _unwritten(judged: list[JudgedClaim], written: Sequence[Written]) -> list[JudgedClaim]:
    """Return what of the verdicts that were given is not written: mostly nothing, which their number tells."""
    if sum(len(each.claims) for each in written) == len(judged):
        return []
    done = {claim for each in written for claim in each.claims}
    return [pair for pair in judged if pair[0] not in done]


def waits_of(claims: Iterable[Claim]) -> Waits:
    """Return how long tasks had been due when they were claimed, of those of which it is known."""
    rounds = groupby(claims, attrgetter("due_times"))
    return Waits(*((due_times, [claim.task.raw_id for claim in group]) for due_times, group in rounds if due_times))


def _to_tell(verdict: Verdict, claims: Sequence[Claim], changed: int) -> Sequence[Claim]:
    """Return the claims that were changed, but for those that their handlers' own commits have told to be done."""
    if verdict.status is not Status.SUCCESS or not any(map(attrgetter("may_be_done"), claims)):
        return claims[:changed]
    before = {claim for claim in claims if claim.may_be_done and not claim.tell_done()}
    return [claim for claim in claims if claim not in before][: max(0, changed - len(before))]


def _endings(verdict: Verdict, claims: Iterable[Claim]) -> Iterator[Ending]:
    endings = (verdict.ending_of(one.task.id, one.task.task_type, one.attempt, one.queue_seconds) for one in claims)
    return filter(None, endings)

"""The verdicts on claims, until they are written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from asyncflow.events import Hooks, SettleFenced, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.status import Status
from asyncflow.scheduler.loops.second_writer import SecondWriter
from asyncflow.scheduler.worker.claim_source import Claim, ClaimSource, Written
from asyncflow.scheduler.worker.verdict import Verdict

Judged = tuple[Claim, Verdict]


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
        self._hooks = hooks
        self._destination = destination
        self._judged: list[Judged] = []
        self._second_writer: SecondWriter[_WrittenVerdicts] = SecondWriter(destination, hooks)
        self._judged_by_second: list[Judged] = []  # those that the second writer writes

    def __bool__(self) -> bool:
        return bool(self._judged or self._second_writer)

    def add(self, claim: Claim, verdict: Verdict) -> None:
        """Take in a verdict, to be written by the next ``write``."""
        self._judged.append((claim, verdict))

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
            self._take_in(self._settle(self._judged, by_second=False))

    def close(self) -> None:
        """End the thread."""
        self._second_writer.close()

    def _end_second_writer(self) -> None:
        settled = self._second_writer.end()
        self._judged, self._judged_by_second = self._judged_by_second + self._judged, []
        if settled is not None:
            self._take_in(settled)

    def _settle(self, judged: Sequence[Judged], *, by_second: bool) -> _WrittenVerdicts:
        began = time.perf_counter()
        return _WrittenVerdicts(self._source.settle(judged, by_second=by_second), time.perf_counter() - began)

    def _take_in(self, settled: _WrittenVerdicts) -> None:
        """Know what is written, and tell of it."""
        if not settled.written:
            return  # all of it is left for a lock, or for the service
        done = {claim for each in settled.written for claim in each.claims}
        self._judged = [pair for pair in self._judged if pair[0] not in done]
        counts: Counter[Status] = Counter()
        fenced = 0
        for verdict, claims, changed in settled.written:
            counts[verdict.status] += changed
            fenced += len(claims) - changed
            if changed == len(claims):
                self._tell_of_each(verdict, claims)
        if fenced:
            self._hooks.emit(SettleFenced(self._destination, fenced))
        succeeded, retried, failed = (counts[status] for status in (Status.SUCCESS, Status.PENDING, Status.FAILED))
        self._hooks.emit(TasksSettled(self._destination, succeeded, retried, failed, settled.seconds))

    def _tell_of_each(self, verdict: Verdict, claims: Sequence[Claim]) -> None:
        for claim in claims:
            task, attempt, error = claim.task, claim.attempt, verdict.error
            if verdict.status is Status.FAILED:
                self._hooks.emit(TaskFailed(task.id, task.task_type, attempt, error))
            elif verdict.status is Status.PENDING and verdict.is_spent:
                self._hooks.emit(TaskRetried(task.id, task.task_type, attempt, verdict.delay_seconds, error))

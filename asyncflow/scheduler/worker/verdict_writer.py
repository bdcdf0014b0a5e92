"""The verdicts on claims, until they are written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from asyncflow.events import Hooks, SettleFenced, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.status import Status
from asyncflow.scheduler.loops.second_writer import Beside
from asyncflow.scheduler.worker.claim_source import Claim, ClaimSource, Written
from asyncflow.scheduler.worker.verdict import Verdict

Judged = tuple[Claim, Verdict]


class _Settled(NamedTuple):
    """Tell what was written, and how long it took."""

    written: Sequence[Written]
    seconds: float


class VerdictWriter:
    """Write verdicts and tell of them; lives as long as its worker, used by its thread alone.

    While a backlog streams, some are written on a thread beside, as the next tasks are claimed. What could not be
    written, because the database or the service is away, is kept and written first.
    """

    def __init__(self, source: ClaimSource, hooks: Hooks, destination: str) -> None:
        self._source = source
        self._hooks = hooks
        self._destination = destination
        self._judged: list[Judged] = []
        self._beside: Beside[_Settled] = Beside(destination, hooks)
        self._judged_beside: list[Judged] = []  # those that it writes

    def __bool__(self) -> bool:
        return bool(self._judged or self._beside)

    def add(self, claim: Claim, verdict: Verdict) -> None:
        """Take in a verdict, to be written by the next ``write``."""
        self._judged.append((claim, verdict))

    def write(self, *, beside: bool) -> None:
        """Write all verdicts, here or ``beside``; then these may be unwritten when it returns, and no others.

        Raises what the source raises, and what that left unwritten is kept. What could not be written beside is
        written here.
        """
        self._end_beside()
        if not self._source.can_settle_beside:
            beside = False
        elif not beside:
            self._source.end_settling_beside()
        if self._judged and beside and self._beside.is_free:
            judged, self._judged = self._judged, []
            self._judged_beside = judged
            self._beside.begin(lambda: self._settle(judged, beside=True))
        elif self._judged:
            self._take_in(self._settle(self._judged, beside=False))

    def close(self) -> None:
        """End the thread."""
        self._beside.close()

    def _end_beside(self) -> None:
        settled = self._beside.end()
        self._judged, self._judged_beside = self._judged_beside + self._judged, []
        if settled is not None:
            self._take_in(settled)

    def _settle(self, judged: Sequence[Judged], *, beside: bool) -> _Settled:
        began = time.perf_counter()
        return _Settled(self._source.settle(judged, beside=beside), time.perf_counter() - began)

    def _take_in(self, settled: _Settled) -> None:
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

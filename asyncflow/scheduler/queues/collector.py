"""The collector: writes what workers tell by a queue, and has the broker forget it then."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from asyncflow.errors import ClaimLostError
from asyncflow.events import Hooks, StepFailed
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.loops.settled_events import SettledEvents
from asyncflow.scheduler.queues.credits import Credits
from asyncflow.scheduler.queues.notes import ClaimNote, Reached, read_note
from asyncflow.scheduler.task_queue import Collecting
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome, SettledClaim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.claiming.refused_outcomes import RefusedOutcomes, refused_claims
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from asyncflow.scheduler.worker.claiming.told_outcomes import tell_outcomes

T = TypeVar("T")
_NOTES_AT_ONCE = 200
_MOST_UNWRITTEN = 2000  # outcomes, beyond which nothing more is collected
_WAIT_SECONDS = 0.5
_HEAR_SECONDS = 0.5  # that a claim waits to be renewed: most tasks are done before, which says more
_LOCKED_SECONDS = 1.0  # that a row waits which somebody else has locked


class Books(NamedTuple):
    """Hold by what a collector writes, and who hears of it.

    ``on_settled`` is called when credits are free again, or, with True, tasks are due again.
    """

    database: Database
    claims: ServiceClaims
    credits: Credits
    type_of: Callable[[str], TaskType]
    hooks: Hooks
    on_settled: Callable[[bool], None]


class Collector:
    """Step by step collect, write, acknowledge; lives as long as its scheduler, one thread steps it.

    Whatever is told twice, or late, changes nothing: each write asks for the token. A note is acknowledged when all
    that it tells is written, so that it comes to another collector if this one dies before.
    """

    def __init__(self, queue: str, collecting: Collecting, books: Books) -> None:
        self._destination = f"queue:{queue}"  # under which the events tell of it
        self._collecting = collecting
        self._books = books
        self._open: Counter[Hashable] = Counter()  # by note, how much of it is not written
        self._done: list[Hashable] = []
        self._renewals: dict[HeldClaim, tuple[float, Hashable]] = {}  # the lease of each
        self._reached: list[tuple[Reached, Hashable]] = []
        self._outcomes: list[tuple[ClaimOutcome, Hashable]] = []
        self._renew_at = 0.0
        self._locked_until = 0.0
        self._refused = RefusedOutcomes(books.database.dialect, refused_claims(self._tell_refused))

    def step(self) -> float:
        """Do one round, which waits a while for notes; return 0, for there may be more.

        Raises what the broker or the database raises; what was collected is kept, and written by a later round.
        """
        try:
            self._collect()
        finally:
            self._write()  # also while the broker is away
        self._acknowledge()
        return 0.0

    def close(self) -> None:
        """Write and acknowledge what was collected, as far as the database and the broker let us; leave the rest."""
        try:
            self._renew_at = self._locked_until = 0.0
            self._write()
            self._acknowledge()
        finally:
            self._books.database.close()
            self._collecting.close()

    # -- taking in ---------------------------------------------------------------------------------------

    def _collect(self) -> None:
        if len(self._outcomes) >= _MOST_UNWRITTEN:
            time.sleep(_WAIT_SECONDS)
            return
        for handle, body in self._collecting.collect(_NOTES_AT_ONCE, self._patience()):
            self._take_in(handle, body)

    def _patience(self) -> float:
        return _HEAR_SECONDS / 2 if self._renewals else _WAIT_SECONDS

    def _take_in(self, handle: Hashable, body: bytes) -> None:
        if handle in self._open or handle in self._done:  # it came again before it was acknowledged
            return
        try:
            note = read_note(body)
        except ValueError as error:
            self._books.hooks.emit(StepFailed(self._destination, error, 0.0))
            self._done.append(handle)
            return
        self._open[handle] = len(note.renewed) + len(note.reached) + len(note.outcomes) + 1
        self._note_renewals(note, handle)
        self._reached += ((one, handle) for one in note.reached)
        self._outcomes += ((one, handle) for one in note.outcomes)
        self._written(handle)  # the one for the note itself, so that an empty one ends, too

    def _note_renewals(self, note: ClaimNote, handle: Hashable) -> None:
        if note.renewed and not self._renewals:
            self._renew_at = time.monotonic() + _HEAR_SECONDS
        for held in note.renewed:
            self._forget_renewal(held)
            self._renewals[held] = (note.lease_seconds, handle)

    def _forget_renewal(self, held: HeldClaim) -> None:
        _, handle = self._renewals.pop(held, (0.0, None))
        if handle is not None:
            self._written(handle)

    def _written(self, handle: Hashable) -> None:
        self._open[handle] -= 1
        if not self._open[handle]:
            del self._open[handle]
            self._done.append(handle)

    # -- writing -----------------------------------------------------------------------------------------

    def _write(self) -> None:
        if time.monotonic() >= self._locked_until:
            self._write_reached()
            self._settle()
        if self._renewals and time.monotonic() >= self._renew_at:
            self._renew()

    def _write_reached(self) -> None:
        """Write how far claims have come; what somebody else has locked waits, and with it what became of it."""
        while self._reached:
            (held, stage, context), handle = self._reached[0]
            write = partial(self._books.claims.checkpoint, held=held, stage=stage, context=context, lease_seconds=None)
            try:
                self._books.database.run(write)
            except ClaimLostError:
                SettledEvents(self._books.hooks, self._destination).of_fenced(1)
            except DBAPIError as error:
                if not self._books.database.dialect.is_lock_wait(error):
                    raise
                self._locked_until = time.monotonic() + _LOCKED_SECONDS
                self._reached.append(self._reached.pop(0))
                return
            self._reached.pop(0)
            self._written(handle)

    def _settle(self) -> None:
        waiting = {one.held for one, _ in self._reached}
        # One that was told twice at once is what it was first.
        outcomes = {one.held: one for one, _ in reversed(self._outcomes) if one.held not in waiting}
        if not outcomes:
            return
        settled = self._settle_all(list(outcomes.values()))
        written = {one.held for one in settled if not one.is_locked}
        if len(written) < len(settled):
            self._locked_until = time.monotonic() + _LOCKED_SECONDS
        told, self._outcomes = self._outcomes, [pair for pair in self._outcomes if pair[0].held not in written]
        for outcome, handle in told:
            if outcome.held in written:
                self._forget_renewal(outcome.held)
                self._written(handle)
        self._tell(settled, written)

    def _settle_all(self, outcomes: Sequence[ClaimOutcome]) -> Sequence[SettledClaim]:
        try:
            return self._write_outcomes(outcomes)
        except DBAPIError as error:
            if not self._refused.is_again(error):
                raise
        return self._refused.settle_others(self._write_outcomes, outcomes)

    def _write_outcomes(self, outcomes: Sequence[ClaimOutcome]) -> list[SettledClaim]:
        settle = partial(self._books.claims.settle, outcomes=outcomes, type_of=self._books.type_of)
        return self._run(settle, partial(settle, of_free=True))

    def _tell_refused(self, error: DBAPIError) -> None:
        self._books.hooks.emit(StepFailed(self._destination, error, 0.0))

    def _tell(self, settled: Sequence[SettledClaim], written: Collection[HeldClaim]) -> None:
        books = self._books
        tell_outcomes(books.hooks, self._destination, settled)
        is_due = any(one.verdict is not None and one.verdict.status is Status.PENDING for one in settled)
        if books.credits.give_back(written) or is_due:
            books.on_settled(is_due)

    def _renew(self) -> None:
        renewals, self._renewals = self._renewals, {}
        try:
            for lease in sorted({lease for lease, _ in renewals.values()}):
                held = [one for one, (its_lease, _) in renewals.items() if its_lease == lease]
                renew = partial(self._books.claims.renew, held=held, lease_seconds=lease)
                self._run(renew, partial(renew, of_free=True))
        except BaseException:
            self._renewals = renewals
            raise
        for _, handle in renewals.values():
            self._written(handle)

    def _run(self, work: Callable[[Connection], T], of_free: Callable[[Connection], T]) -> T:
        database = self._books.database
        return database.run(work, of_free if database.skips_locked else None)

    def _acknowledge(self) -> None:
        if self._done:
            self._collecting.acknowledge(self._done)
            self._done = []

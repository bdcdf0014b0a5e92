"""Claims: tasks that this worker alone may settle, for as long as it renews them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.status import Status
from asyncflow.outbox.transaction.target import require_untranslated
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.connections.caution import Caution
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads.planner_statistics import PlannerStatistics
from asyncflow.scheduler.heads.precedence import Precedence
from asyncflow.scheduler.heads.queries import Head, read_heads
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.table.queries import standing
from asyncflow.scheduler.table.row_locks import sort_out
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_rows import Checkpoint, ClaimRows, claim_lost
from asyncflow.scheduler.worker.claiming.claim_source import Written
from asyncflow.scheduler.worker.claiming.claiming import Claiming, Terms, WantedRows
from asyncflow.scheduler.worker.claiming.refused_outcomes import Endings, RefusedOutcomes
from asyncflow.scheduler.worker.verdict import SUCCEEDED, UNANSWERED, Verdict


class Claims:
    """Claim, renew and settle for one worker, as a ClaimSource; what it remembers is its thread's.

    On other threads it is only asked for what has a connection of its own: a handler's, or the second writer's.
    """

    def __init__(
        self, outbox: Outbox, engine: Engine, owner: ClaimOwner, lease_seconds: float, *, deletes: bool
    ) -> None:
        self._tasks = outbox.tasks
        self._rows = ClaimRows(outbox, deletes=deletes)
        self._engine = engine
        self._database = Database(engine)
        # SQLite has one writer, and in memory one connection.
        self.takes_second_writer = self._database.dialect.locks_rows
        self._second_database = Database(engine)
        lease = timedelta(seconds=lease_seconds)
        self._terms = Terms(owner, lease, self._marked_types, self._precedence_of, self._database_now)
        self._done_leave = deletes or outbox.numbered_tables is not None  # the task table
        self._caution = Caution(self._on_locked)
        statistics = PlannerStatistics(outbox.tasks)
        self._claiming = Claiming(outbox.tasks, self._rows, self._terms, self._caution, statistics)
        self._left: list[Claim] = []  # by a claim that raised, before or after its COMMIT
        self._refused = RefusedOutcomes(self._database.dialect, Endings(_failed, _lost, self._on_refused))

    def heads(self) -> list[Head]:
        """Read what is due, and where."""
        return self._database.run(partial(read_heads, tasks=self._tasks, status=Status.PENDING))

    def claim(self, pages: WantedRows) -> list[Claim]:
        """Claim up to a number of due rows of each group of heads, and commit; those that others took are left out.

        When it raises, the claim may have happened: ``claim_left`` returns what was.
        """
        served = list(pages)
        self._left = []

        def work(connection: Connection, *, of_free: bool = False) -> list[Claim]:
            claims = self._claiming.claim(connection, served, of_free=of_free)
            self._left = claims
            return claims

        claims = self._caution.run(self._database, work, partial(work, of_free=True))
        self._left = []
        return claims

    def claim_left(self) -> list[Claim]:
        """Return, renewed, the claims of a ``claim`` that raised and happened all the same."""
        if not self._left:
            return []
        held_until = self._terms.held_until()
        lost = self._database.run(lambda connection: self._renew(connection, self._left))
        kept = [claim for claim in self._left if claim.task.raw_id not in lost]
        self._left = []
        for claim in kept:
            claim.last_until(held_until)
        return kept

    def renew(self, claims: Collection[Claim]) -> set[UUID]:
        """Let the claims last for another lease; return the ids of the tasks whose claims are lost."""
        held_until = self._terms.held_until()
        lost, locked = self._caution.run(
            self._database,
            lambda connection: (self._renew(connection, claims), frozenset[Any]()),
            lambda connection: self._renew_free(connection, claims),
        )
        for claim in claims:
            if claim.task.raw_id not in lost and claim.task.raw_id not in locked:
                claim.last_until(held_until)
        return {claim.task.id for claim in claims if claim.task.raw_id in lost}

    def settle(self, judged: Sequence[tuple[Claim, Verdict]], *, by_second: bool = False) -> list[Written]:
        """Write the verdicts in one transaction, a statement for those that are alike; tell what each changed.

        What is given again because it raised may have been written then: it counts as changed.
        """
        database = self._second_database if by_second else self._database
        try:
            return self._write_judged(database, judged)
        except BaseException as error:
            for claim, _ in judged:
                claim.may_be_settled = True
            if not self._refused.is_again(error):
                raise
        return self._refused.settle_others(partial(self._write_judged, database), judged)

    def end_second_writer(self) -> None:
        """Give the second connection back."""
        self._second_database.close()

    def begin(self, claim: Claim) -> None:
        """Write, in a transaction of its own, on any thread, that the attempt counts; raises ClaimLostError."""
        token, raw_id = claim.token, claim.task.raw_id
        with Database(self._engine) as database:
            if not database.run(partial(self._rows.begin, token=token, raw_id=raw_id, owner=self._terms.owner.name)):
                raise claim_lost(claim.task.id)

    def settle_in(self, connection: Connection, claim: Claim) -> None:
        """Mark the task SUCCESS in the handler's own transaction; raises ClaimLostError or WrongTargetError."""
        require_untranslated(connection, self._tasks)
        if self._write_all(connection, SUCCEEDED, [claim]) != 1:
            raise claim_lost(claim.task.id)
        self._forget_contexts(connection, [claim])
        claim.may_be_settled = claim.may_be_done = True  # whatever the handler's COMMIT tells us

    def still_holds(self, connection: Connection, claim: Claim) -> bool:
        """Read whether the claim is neither settled nor lost."""
        return bool(self._rows.held(connection, claim.token, [claim.task.raw_id]))

    def checkpoint(self, claim: Claim, stage: str, context: str | None) -> None:
        """Write how far the work has come, in a transaction of its own, on any thread; raises ClaimLostError."""
        reached = Checkpoint(stage, context, self._terms.lease)
        write = partial(self._rows.checkpoint, token=claim.token, task_id=claim.task.id, reached=reached)
        if not run_briefly(self._engine, write):
            raise claim_lost(claim.task.id)
        claim.stage = stage  # that there is one tells that there may be a context to forget

    def close(self) -> None:
        """Give back claims that nobody took over, as far as the database lets us, and the connections."""
        try:
            if left := self.claim_left():
                self.settle([(claim, UNANSWERED) for claim in left])
        except DBAPIError:
            pass  # they run out by themselves
        self.give_connections_back()

    def give_connections_back(self) -> None:
        """Give the connections back; the next claim takes others."""
        self._database.close()
        self._second_database.close()

    def raw_id_of(self, task_id: UUID) -> Any:
        """Return an id in the form in which pages have it."""
        return raw_form(task_id, self._engine.dialect.name)

    # -- what a subclass knows -----------------------------------------------------------------------------

    def _marked_types(self, names: set[str]) -> Collection[str]:
        """Return those of some types whose claims may wait unbegun; here none."""
        return ()

    def _precedence_of(self, task_type: str) -> Precedence:
        """Return what knows the order of a type's rows; here each claim stands for itself."""
        return Precedence()

    def _database_now(self) -> float | None:
        """Return the database's time in seconds since 1970; here it is not known."""
        return None

    def _on_locked(self, rows: int) -> None:
        """Hear that so many rows are locked, when the first is met."""

    def _on_refused(self, error: DBAPIError) -> None:
        """Hear that the database refuses the outcome of one task."""

    def _write_judged(self, database: Database, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        return self._caution.run(
            database,
            lambda connection: self._settle(connection, judged),
            lambda connection: self._settle_free(connection, judged),
        )

    # -- in a transaction ----------------------------------------------------------------------------------

    def _renew_free(self, connection: Connection, claims: Collection[Claim]) -> tuple[set[Any], Collection[Any]]:
        """Renew what nobody else has locked; return the raw ids of the claims that are lost, and of locked rows."""
        ids = {claim.task.raw_id for claim in claims}
        free, locked, _ = sort_out(connection, self._tasks, ids, Status.PROCESSING)
        self._caution.meet(locked)
        renewed = [claim for claim in claims if claim.task.raw_id in free]
        return self._renew(connection, renewed) | (ids - free - locked), locked

    def _settle_free(self, connection: Connection, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        """Settle what nobody else has locked; the rest is given again."""
        ids = [claim.task.raw_id for claim, _ in judged]
        locked = sort_out(connection, self._tasks, ids, Status.PROCESSING).locked
        may_have_contexts = (claim for claim, _ in judged if claim.leaves or claim.stage is not None)
        free = [claim.task.raw_id for claim in may_have_contexts if claim.task.raw_id not in locked]
        locked |= self._rows.with_locked_contexts(connection, free)
        self._caution.meet(locked)
        return self._settle(connection, [pair for pair in judged if pair[0].task.raw_id not in locked])

    def _renew(self, connection: Connection, claims: Iterable[Claim]) -> set[Any]:
        return self._rows.renew(connection, ((claim.token, claim.task.raw_id) for claim in claims), self._terms.lease)

    def _settle(self, connection: Connection, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        standing = self._as_they_stand(connection, judged)
        return [
            Written(verdict, claims, self._write(connection, verdict, claims)) for verdict, claims in _alike(standing)
        ]

    def _write(self, connection: Connection, verdict: Verdict, claims: Sequence[Claim]) -> int:
        changed = self._write_all(connection, verdict, claims)
        if changed != len(claims) and any(claim.may_be_settled for claim in claims):
            changed = max(changed, self._standing(connection, verdict, claims))
        if verdict.status is Status.SUCCESS:
            self._forget_contexts(connection, claims)
        return changed

    def _write_all(self, connection: Connection, verdict: Verdict, claims: Sequence[Claim]) -> int:
        """Write one verdict on claims of one token, which all leave something or nothing; return how many it held."""
        token = claims[0].token
        if verdict.status is Status.SUCCESS and claims[0].leaves:
            return self._rows.leave(connection, token, {claim.task.raw_id: claim.result for claim in claims})
        raw_ids = [claim.task.raw_id for claim in claims]
        if claims[0].leaves and verdict.ends and any(claim.is_told for claim in claims):
            return self._rows.end_and_tell(connection, verdict, token, raw_ids)
        return self._rows.write(connection, verdict, token, raw_ids)

    def _as_they_stand(
        self, connection: Connection, judged: Sequence[tuple[Claim, Verdict]]
    ) -> Sequence[tuple[Claim, Verdict]]:
        """Let what is done be done, whatever its handler raised: it was told of no commit that happened."""
        ids = [claim.task.raw_id for claim, _ in judged if claim.may_be_done]
        if not ids:
            return judged
        rows = {row[0]: row for row in connection.execute(standing(self._tasks), {"ids": ids})}
        return [
            (claim, SUCCEEDED)
            if claim.may_be_done and self._stands(rows.get(claim.task.raw_id), claim, SUCCEEDED)
            else (claim, verdict)
            for claim, verdict in judged
        ]

    def _standing(self, connection: Connection, verdict: Verdict, claims: Sequence[Claim]) -> int:
        """Return of how many tasks the rows are as the verdict leaves them, or beyond that."""
        ids = {"ids": [claim.task.raw_id for claim in claims]}
        rows = {row[0]: row for row in connection.execute(standing(self._tasks), ids)}
        return sum(self._stands(rows.get(claim.task.raw_id), claim, verdict) for claim in claims)

    def _stands(self, row: Any, claim: Claim, verdict: Verdict) -> bool:
        if row is None:
            return verdict.status is Status.SUCCESS and self._done_leave
        _, status, spent = row
        if verdict.status is not Status.PENDING:
            return bool(status == int(verdict.status))
        # Somebody may have claimed it since.
        left_with = claim.attempt - (not verdict.is_spent)
        return bool(spent == left_with if status == int(Status.PENDING) else spent > left_with)

    def _forget_contexts(self, connection: Connection, claims: Iterable[Claim]) -> None:
        self._rows.forget_contexts(connection, [claim.task.raw_id for claim in claims if claim.stage is not None])


def _failed(pair: tuple[Claim, Verdict], why: str) -> tuple[Claim, Verdict]:
    return pair[0], Verdict(Status.FAILED, error=why)


def _lost(pair: tuple[Claim, Verdict]) -> Written:
    return Written(pair[1], [pair[0]], 0)


def _alike(judged: Iterable[tuple[Claim, Verdict]]) -> Iterator[tuple[Verdict, list[Claim]]]:
    """Yield together what one statement writes: claims of one token, judged alike, that all leave something or nothing.

    Nearly all are as the one before, with the very same token and verdict; to look each of them up costs far more.
    """
    groups: dict[tuple[UUID, Verdict, bool], list[Claim]] = {}
    token: UUID | None = None
    verdict: Verdict | None = None
    leaves, group = False, list[Claim]()
    for claim, its_verdict in judged:
        if claim.token is not token or its_verdict is not verdict or claim.leaves is not leaves:
            token, verdict, leaves = claim.token, its_verdict, claim.leaves
            group = groups.setdefault((token, verdict, leaves), [])
        group.append(claim)
    for (_, its_verdict, _), claims in groups.items():
        yield its_verdict, claims

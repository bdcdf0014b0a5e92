"""Claims: tasks that this worker alone may settle, for as long as it renews them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox import Outbox, Task
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.connections.caution import Caution
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads import queries
from asyncflow.scheduler.heads.planner_statistics import PlannerStatistics
from asyncflow.scheduler.heads.precedence import NEVER, Bounds, Precedence
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Lane
from asyncflow.scheduler.table.claim_owner import ClaimOwner, waits_as_suspect
from asyncflow.scheduler.table.queries import standing
from asyncflow.scheduler.table.raw_ids import raw_form
from asyncflow.scheduler.table.row_locks import sort_out
from asyncflow.scheduler.worker import queries as claim_queries
from asyncflow.scheduler.worker.claim_rows import Checkpoint, ClaimRows, claim_lost, grouped
from asyncflow.scheduler.worker.claim_source import Claim, Written
from asyncflow.scheduler.worker.verdict import SUCCEEDED, UNANSWERED, Verdict

_NONE: Mapping[Lane, int] = {}


class Claims:
    """Claim, renew and settle for one worker, as a ClaimSource."""

    def __init__(
        self, outbox: Outbox, engine: Engine, owner: ClaimOwner, lease_seconds: float, *, deletes: bool
    ) -> None:
        self.marked_types: Callable[[set[str]], Collection[str]] = lambda _: ()  # whose claims may wait unbegun
        self._tasks = outbox.tasks
        self._rows = ClaimRows(outbox, deletes=deletes)
        self.statistics = PlannerStatistics(outbox.tasks)
        self._engine = engine
        self._database = Database(engine)
        # SQLite has one writer, and in memory one connection.
        self.takes_second_writer = self._database.dialect.locks_rows
        self._second_database = Database(engine)
        self._owner = owner
        self._lease = timedelta(seconds=lease_seconds)
        self._deletes = deletes
        self.caution = Caution()
        self._locked: dict[Lane, int] = {}  # how many locked rows stood in the pages that were read last
        self._left: list[Claim] = []  # by a claim that raised, before or after its COMMIT

    def heads(self) -> list[Head]:
        """Read what is due, and where."""
        return self._database.run(partial(queries.read_heads, tasks=self._tasks, status=Status.PENDING))

    def claim(self, pages: Iterable[tuple[Sequence[Head], int]]) -> list[Claim]:
        """Claim up to a number of due rows of each group of heads, and commit; those that others took are left out.

        When it raises, the claim may have happened: ``claim_left`` returns what was.
        """
        served = list(pages)
        self._left = []

        def work(connection: Connection, *, of_free: bool = False) -> list[Claim]:
            claims = self.claim_in(connection, served, of_free=of_free)
            self._left = claims
            return claims

        claims = self.caution.run(self._database, work, partial(work, of_free=True))
        self._left = []
        return claims

    def claim_left(self) -> list[Claim]:
        """Return, renewed, the claims of a ``claim`` that raised and happened all the same."""
        if not self._left:
            return []
        held_until = self._held_until()
        lost = self._database.run(lambda connection: self._renew(connection, self._left))
        kept = [claim for claim in self._left if claim.task.raw_id not in lost]
        self._left = []
        for claim in kept:
            claim.held_until = held_until
        return kept

    def renew(self, claims: Collection[Claim]) -> set[UUID]:
        """Let the claims last for another lease; return the ids of the tasks whose claims are lost."""
        held_until = self._held_until()
        lost, locked = self.caution.run(
            self._database,
            lambda connection: (self._renew(connection, claims), frozenset[Any]()),
            lambda connection: self._renew_free(connection, claims),
        )
        for claim in claims:
            if claim.task.raw_id not in lost and claim.task.raw_id not in locked:
                claim.held_until = held_until
        return {claim.task.id for claim in claims if claim.task.raw_id in lost}

    def settle(self, judged: Sequence[tuple[Claim, Verdict]], *, by_second: bool = False) -> list[Written]:
        """Write the verdicts in one transaction, a statement for those that are alike; tell what each changed.

        What is given again because it raised may have been written then: it counts as changed.
        """
        database = self._second_database if by_second else self._database
        try:
            return self.caution.run(
                database,
                lambda connection: self._settle(connection, judged),
                lambda connection: self._settle_free(connection, judged),
            )
        except BaseException:
            for claim, _ in judged:
                claim.may_be_settled = True
            raise

    def end_second_writer(self) -> None:
        """Give the second connection back."""
        self._second_database.close()

    def begin(self, claim: Claim) -> None:
        """Write, in a transaction of its own, on any thread, that the attempt counts; raises ClaimLostError."""
        token, raw_id = claim.token, claim.task.raw_id
        with Database(self._engine) as database:
            if not database.run(partial(self._rows.begin, token=token, raw_id=raw_id, owner=self._owner.name)):
                raise claim_lost(claim.task.id)

    def settle_in(self, connection: Connection, claim: Claim) -> None:
        """Mark the task SUCCESS in the handler's own transaction; raises ClaimLostError."""
        if self._write_all(connection, SUCCEEDED, [claim]) != 1:
            raise claim_lost(claim.task.id)
        self._forget_contexts(connection, [claim])
        claim.may_be_settled = claim.may_be_done = True  # whatever the handler's COMMIT tells us

    def still_holds(self, connection: Connection, claim: Claim) -> bool:
        """Read whether the claim is neither settled nor lost."""
        return bool(self._rows.held(connection, claim.token, [claim.task.raw_id]))

    def checkpoint(self, claim: Claim, stage: str, context: str | None) -> None:
        """Write how far the work has come, in a transaction of its own, on any thread; raises ClaimLostError."""
        reached = Checkpoint(stage, context, self._lease)
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
        self._database.close()
        self._second_database.close()

    def raw_id_of(self, task_id: UUID) -> Any:
        """Return an id in the form in which pages have it."""
        return raw_form(task_id, self._engine.dialect.name)

    def claim_in(
        self, connection: Connection, pages: Iterable[tuple[Sequence[Head], int]], *, of_free: bool = False
    ) -> list[Claim]:
        """Claim as ``claim`` does, in the transaction of the connection given; ``of_free`` rows alone, if so told."""
        read = self._read_free if of_free else self._read
        found = [task for heads, most in pages for task in read(connection, heads, most)]
        if not found:
            return []
        self.statistics.after_reading(connection, len(found))
        # One token for all: what is guarded is a pair of token and id.
        token, held_until = self._owner.new_token(), self._held_until()
        raw_ids = [task.raw_id for task in found]
        values = {"ids": raw_ids, "token": token, "its_owner": self._owner.name, "lease": self._lease}
        marked = self.marked_types({task.task_type for task in found})
        if marked:
            marks = {"marked_types": list(marked), "its_first": self._owner.first, "its_again": self._owner.again}
            values |= marks
        if all(task.retry_count == 0 for task in found):
            # Its guards leave nothing to be read again: if all were claimed, none has a stage or another attempt.
            fresh = connection.execute(claim_queries.claim_fresh(self._tasks, marks=bool(marked)), values).rowcount
            if fresh == len(found):
                return [Claim(task, token, None, None, held_until) for task in found]
        connection.execute(claim_queries.claim(self._tasks, marks=bool(marked)), values)
        held = self._rows.held(connection, token, raw_ids)
        return [_claim_of(task, token, held[task.raw_id], held_until) for task in found if task.raw_id in held]

    def _held_until(self) -> float:
        """Return when a lease that the database begins from now on will not have run out yet."""
        return time.monotonic() + self._lease.total_seconds()

    def _read(
        self, connection: Connection, heads: Sequence[Head], most: int, locked: Mapping[Lane, int] = _NONE
    ) -> list[Task]:
        """Read the rows to claim, and as many more of each lane as stood ``locked`` in it."""
        precedence = self._precedence_of(heads[0].task_type)
        portions = precedence.portions(heads[:MOST_PAGES], most)
        if locked:
            further = [locked.get(portion.head[:2], 0) for portion in portions]
            portions = [one._replace(limit=one.limit + rows) for one, rows in zip(portions, further, strict=True)]
            most += sum(further)
        rows = queries.read_pages(
            connection, self._tasks, [portion.head for portion in portions], [s.limit for s in portions]
        )
        read = {portion.head.shard for portion in portions}
        elsewhere = min((head.moment for head in heads if head.shard not in read), default=NEVER)
        ahead = most * -(-len(heads) // MOST_PAGES)
        return precedence.take(rows, rows.moments, portions, Bounds(most, ahead, elsewhere))

    def _precedence_of(self, task_type: str) -> Precedence:
        """Return what knows the order of a type's rows; here each claim stands for itself."""
        return Precedence()

    def _read_free(self, connection: Connection, heads: Sequence[Head], most: int) -> list[Task]:
        """Read past rows that somebody else has locked."""
        found = self._read(connection, heads, most, self._locked)
        rows = sort_out(connection, self._tasks, [task.raw_id for task in found], Status.PENDING)
        self.caution.meet(rows.locked)
        free = [task for task in found if task.raw_id in rows.free]
        self._note_locked(found, rows.locked, {(task.task_type, task.shard) for task in free})
        return free[:most]

    def _note_locked(self, found: Iterable[Task], locked: Container[Any], with_free: Container[Lane]) -> None:
        """Remember how far each lane is to be read to get past locked rows: further, if none was free."""
        counts = Counter((task.task_type, task.shard) for task in found if task.raw_id in locked)
        for lane in {(task.task_type, task.shard) for task in found}:
            self._locked.pop(lane, None)
        self._locked |= {lane: count if lane in with_free else 2 * count for lane, count in counts.items()}

    def _renew_free(self, connection: Connection, claims: Collection[Claim]) -> tuple[set[Any], Collection[Any]]:
        """Renew what nobody else has locked; return the raw ids of the claims that are lost, and of locked rows."""
        ids = {claim.task.raw_id for claim in claims}
        free, locked, _ = sort_out(connection, self._tasks, ids, Status.PROCESSING)
        self.caution.meet(locked)
        renewed = [claim for claim in claims if claim.task.raw_id in free]
        return self._renew(connection, renewed) | (ids - free - locked), locked

    def _settle_free(self, connection: Connection, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        """Settle what nobody else has locked; the rest is given again."""
        ids = [claim.task.raw_id for claim, _ in judged]
        locked = sort_out(connection, self._tasks, ids, Status.PROCESSING).locked
        self.caution.meet(locked)
        return self._settle(connection, [pair for pair in judged if pair[0].task.raw_id not in locked])

    def _renew(self, connection: Connection, claims: Iterable[Claim]) -> set[Any]:
        return self._rows.renew(connection, ((claim.token, claim.task.raw_id) for claim in claims), self._lease)

    def _settle(self, connection: Connection, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        standing = self._as_they_stand(connection, judged)
        groups = grouped(((claim.token, verdict, claim.leaves), claim) for claim, verdict in standing)
        return [
            Written(verdict, claims, self._write(connection, verdict, claims))
            for (_, verdict, _), claims in groups.items()
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
        return self._rows.write(connection, verdict, token, [claim.task.raw_id for claim in claims])

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
            return verdict.status is Status.SUCCESS and self._deletes
        _, status, spent = row
        if verdict.status is not Status.PENDING:
            return bool(status == int(verdict.status))
        # Somebody may have claimed it since.
        left_with = claim.attempt - (not verdict.is_spent)
        return bool(spent == left_with if status == int(Status.PENDING) else spent > left_with)

    def _forget_contexts(self, connection: Connection, claims: Iterable[Claim]) -> None:
        self._rows.forget_contexts(connection, [claim.task.raw_id for claim in claims if claim.stage is not None])


def _claim_of(task: Task, token: UUID, row: Any, held_until: float) -> Claim:
    _, stage, context, attempts, owner = row
    # The row may have been claimed and given back since its page was read.
    task = task._replace(retry_count=attempts - 1)
    return Claim(task, token, stage, context, held_until, is_suspect=waits_as_suspect(owner))

"""Claiming: due rows of some pages become claims, in one transaction."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table

from asyncflow.outbox import Task
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.caution import Caution
from asyncflow.scheduler.heads import queries
from asyncflow.scheduler.heads.planner_statistics import PlannerStatistics
from asyncflow.scheduler.heads.precedence import NEVER, Bounds, Precedence
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Lane, Moments
from asyncflow.scheduler.heads.waits import DueMoments
from asyncflow.scheduler.table.claim_owner import ClaimOwner, waits_as_suspect
from asyncflow.scheduler.table.row_locks import sort_out
from asyncflow.scheduler.worker.claiming import queries as claim_queries
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_rows import ClaimRows

WantedRows = Iterable[tuple[Sequence[Head], int]]  # groups of heads, each of one type, with the rows wanted of each
_NONE: Mapping[Lane, int] = {}


@dataclass(frozen=True)
class Terms:
    """Tell for whom rows are claimed, and on which terms.

    ``marked_types`` returns those of some types whose claims may wait unbegun. ``precedence_of`` returns what knows the
    order of a type's rows; by default each claim stands for itself. ``database_now`` returns the database's time in
    seconds since 1970, None if that is not known.
    """

    owner: ClaimOwner
    lease: timedelta
    marked_types: Callable[[set[str]], Collection[str]] = lambda _: ()
    precedence_of: Callable[[str], Precedence] = lambda _: Precedence()
    database_now: Callable[[], float | None] = lambda: None

    def held_until(self) -> float:
        """Return when a lease that the database begins from now on will not have run out yet."""
        return time.monotonic() + self.lease.total_seconds()


class Claiming:
    """Claim rows on the same terms again and again, in the transaction of the connection given; used by one thread.

    ``caution`` and ``statistics`` may be those of many.
    """

    def __init__(
        self, tasks: Table, rows: ClaimRows, terms: Terms, caution: Caution, statistics: PlannerStatistics
    ) -> None:
        self._tasks = tasks
        self._rows = rows
        self._terms = terms
        self._caution = caution
        self._statistics = statistics
        self._moments: list[Moments] = []  # of the pages of the claim at hand
        self._locked: dict[Lane, int] = {}  # how many locked rows stood in the pages that were read last

    def claim(self, connection: Connection, pages: WantedRows, *, of_free: bool = False) -> list[Claim]:
        """Claim up to a number of due rows of each group of heads; those that others took are left out.

        ``of_free``: of rows that nobody has locked.
        """
        read = self._read_free if of_free else self._read
        self._moments = []
        found = [task for heads, most in pages for task in read(connection, heads, most)]
        if not found:
            return []
        self._statistics.after_reading(connection, len(found))
        due_times = DueMoments(self._moments, self._terms.database_now())
        # One token for all: what is guarded is a pair of token and id.
        owner, held_until = self._terms.owner, self._terms.held_until()
        token, raw_ids = owner.new_token(), [task.raw_id for task in found]
        values = {"ids": raw_ids, "token": token, "its_owner": owner.name, "lease": self._terms.lease}
        marked = self._terms.marked_types({task.task_type for task in found})
        if marked:
            values |= {"marked_types": list(marked), "its_first": owner.first, "its_again": owner.again}
        if not any(map(attrgetter("retry_count"), found)):
            # Its guards leave nothing to be read again: if all were claimed, none has a stage or another attempt.
            fresh = connection.execute(claim_queries.claim_fresh(self._tasks, marks=bool(marked)), values).rowcount
            if fresh == len(found):
                return [Claim(task, token, None, None, held_until, due_times=due_times) for task in found]
        connection.execute(claim_queries.claim(self._tasks, marks=bool(marked)), values)
        held = self._rows.held(connection, token, raw_ids)
        claims = [_claim_of(task, token, held[task.raw_id], held_until) for task in found if task.raw_id in held]
        for claim in claims:
            claim.due_times = due_times
        return claims

    def _read(
        self, connection: Connection, heads: Sequence[Head], most: int, locked: Mapping[Lane, int] = _NONE
    ) -> list[Task]:
        """Read the rows to claim, and as many more of each lane as stood ``locked`` in it."""
        precedence = self._terms.precedence_of(heads[0].task_type)
        portions = precedence.portions(precedence.nearest(heads[:MOST_PAGES], most), most)
        if locked:
            further = [locked.get(portion.head[:2], 0) for portion in portions]
            portions = [one._replace(limit=one.limit + rows) for one, rows in zip(portions, further, strict=True)]
            most += sum(further)
        limits = [portion.limit for portion in portions]
        rows = queries.read_pages(connection, self._tasks, [portion.head for portion in portions], limits)
        self._moments += rows.parts
        read = {portion.head.shard for portion in portions}
        elsewhere = min((head.moment for head in heads if head.shard not in read), default=NEVER)
        ahead = most * -(-len(heads) // MOST_PAGES)
        return precedence.take(rows, rows.moments, portions, Bounds(most, ahead, elsewhere))

    def _read_free(self, connection: Connection, heads: Sequence[Head], most: int) -> list[Task]:
        """Read past rows that somebody else has locked."""
        found = self._read(connection, heads, most, self._locked)
        rows = sort_out(connection, self._tasks, [task.raw_id for task in found], Status.PENDING)
        self._caution.meet(rows.locked)
        free = [task for task in found if task.raw_id in rows.free]
        self._note_locked(found, rows.locked, {(task.task_type, task.shard) for task in free})
        return free[:most]

    def _note_locked(self, found: Iterable[Task], locked: Container[Any], with_free: Container[Lane]) -> None:
        """Remember how far each lane is to be read to get past locked rows: further, if none was free."""
        counts = Counter((task.task_type, task.shard) for task in found if task.raw_id in locked)
        for lane in {(task.task_type, task.shard) for task in found}:
            self._locked.pop(lane, None)
        self._locked |= {lane: count if lane in with_free else 2 * count for lane, count in counts.items()}


def _claim_of(task: Task, token: UUID, row: Any, held_until: float) -> Claim:
    _, stage, context, attempts, owner = row
    # The row may have been claimed and given back since its page was read.
    task = task._replace(retry_count=attempts - 1)
    return Claim(task, token, stage, context, held_until, is_suspect=waits_as_suspect(owner))

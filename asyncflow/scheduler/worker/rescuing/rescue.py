"""What becomes of claimed tasks that nobody works on any more, and the statements that write it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Table

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.retry import is_spent
from asyncflow.outbox.outcome.telling import is_told
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster.seeing.lease_watch import Lease, LeaseWatch
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.table.claim_owner import is_unspent, names_in_rows, travels
from asyncflow.scheduler.table.lately_locked import LatelyLocked
from asyncflow.scheduler.table.log_lines import log_line
from asyncflow.scheduler.table.outcome_messages import OutcomeMessages, ToldOutcome
from asyncflow.scheduler.table.row_locks import sort_out
from asyncflow.scheduler.worker.rescuing import queries

PAGE = 500
Statement = Callable[[Table], Any]
_STEP_SECONDS = 1.0  # of the database's clock; one that is slewed, or asked late, differs by less
_WATCH = "claims"
AHEAD = "the claim ran out: the database's clock was set back, and its worker was not heard of"
_MOST_LOCKED = 10_000
RAN_OUT = "the claim ran out: the worker died, hung or was cut off"
DIED = "the claim's instance died or was cut off"
_UNSPENT = "; it was not heard to have begun, and no attempt is spent"


@dataclass
class Rescued:
    """Tell what was written of one page: ids and attempts of those that ``failed``, how many were left for a lock.

    ``is_full``: there may be more rows, which another look finds.
    """

    is_full: bool = False
    left: int = 0
    given_back: int = 0
    unspent: int = 0
    failed: list[tuple[Any, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Rescue:
    """Give back or fail a page of one lane: what ran out, or with ``owners`` what these hold.

    With ``longest``, in microseconds, it is rows that were read whose claims are ahead of the clock.

    Each write asks again what was read. An attempt that is not known to have begun is not spent, and the row says so:
    the next one counts. ``waited_seconds`` of the retry interval have passed already.
    """

    tasks: Table
    task_type: HandlerType
    owners: Collection[str] = ()
    waited_seconds: float = 0.0
    longest: int | None = None
    outcomes: OutcomeMessages | None = None  # by which those that fail are told of

    def write(self, connection: Connection, head: Head, lately_locked: LatelyLocked | None = None) -> Rescued:
        """Write it in the transaction of the connection.

        With ``lately_locked`` it waits for no lock: who does may get it before the worker whose work is done, and
        waits to write that. What is locked, or was a moment ago, is left.
        """
        known = 0 if lately_locked is None else len(lately_locked)
        limit = PAGE + min(known, _MOST_LOCKED)  # so that locked rows hide none behind them
        rows = connection.execute(self._read, {**self._guard, **_page_of(head), "limit": limit}).all()
        rescued = self.write_rows(connection, rows, lately_locked)
        has_learnt = lately_locked is not None and len(lately_locked) > known
        rescued.is_full = len(rows) == limit and (rescued.left < len(rows) or has_learnt)
        return rescued

    def write_rows(
        self, connection: Connection, rows: Sequence[Any], lately_locked: LatelyLocked | None = None
    ) -> Rescued:
        """Write what becomes of rows that were read; those that do not stand as they were are left alone."""
        found = len(rows)
        if lately_locked is not None:
            free = lately_locked.take_in(sort_out(connection, self.tasks, [row[0] for row in rows], Status.PROCESSING))
            rows = [row for row in rows if row[0] in free]
        rescued, groups = Rescued(left=found - len(rows)), defaultdict[tuple[float, int], list[Any]](list)
        for row in rows:
            raw_id, attempts, max_retries, owner, token = row[:5]
            if is_unspent(owner, token):
                groups[0.0, 1].append(raw_id)
            elif not is_spent(attempts, self.task_type.most_retries(max_retries)):
                groups[max(0.0, self.task_type.retry_delay(attempts) - self.waited_seconds), 0].append(raw_id)
            elif self._fail(connection, raw_id, row.headers):
                rescued.failed.append((raw_id, attempts))
        for (delay, refund), ids in groups.items():
            changed = self._give_back(connection, ids, delay, refund)
            rescued.given_back += changed
            rescued.unspent += changed if refund else 0
        return rescued

    @property
    def error(self) -> str:
        """Return what happened to their worker."""
        return DIED if self.owners else RAN_OUT if self.longest is None else AHEAD

    @property
    def _guard(self) -> Mapping[str, Any]:
        if self.longest is not None:
            return {"longest": self.longest}
        return {"owners": names_in_rows(self.owners)} if self.owners else {}

    @property
    def _read(self) -> Any:
        return (queries.held_by if self.owners else queries.ran_out)(self.tasks)

    def _fail(self, connection: Connection, raw_id: Any, headers: str | None) -> bool:
        # One by one: each that is failed is told of, and one renewed meanwhile is not.
        values = {**self._guard, "ids": [raw_id], "line": log_line(self.error), "its_status": int(Status.FAILED)}
        statement = self._chosen(queries.end_ran_out, queries.end_taken, queries.end_ahead)
        is_failed = bool(connection.execute(statement, values).rowcount)
        if is_failed and self.outcomes is not None and is_told(headers):
            told = {raw_id: ToldOutcome("failed", self.error)}
            self.outcomes.write(connection, self.outcomes.facts(connection, told), told)
        return is_failed

    def _give_back(self, connection: Connection, ids: list[Any], delay: float, refund: int) -> int:
        line = log_line(self.error + (_UNSPENT if refund else ""))
        values = {**self._guard, "ids": ids, "line": line, "delay": timedelta(seconds=delay), "refund": refund}
        statement = self._chosen(queries.give_back, queries.take_back, queries.give_back_ahead)
        return connection.execute(statement, values).rowcount

    def _chosen(self, ran_out: Statement, taken: Statement, ahead: Statement) -> Any:
        return (taken if self.owners else ran_out if self.longest is None else ahead)(self.tasks)


def _page_of(head: Head) -> dict[str, Any]:
    return {"task_type": head.task_type, "shard": head.shard}


class Untimely:
    """Find the claims that nobody renews any more, whatever the clock says; one thread asks.

    One that begins later than now was written before the clock was set back. It counts for its own length from when it
    is first seen, in which its worker renews it if it lives. One of a task service that ends later than
    ``longest_seconds`` from now, the longest that a worker may ask for, counts for no moment more.
    """

    def __init__(self, tasks: Table, longest_seconds: Callable[[], float]) -> None:
        self._tasks = tasks
        self._longest_seconds = longest_seconds
        self._watch = LeaseWatch()
        self._ahead_by = float("inf")  # how far the database's clock is ahead of ours, when it was last asked
        self._calm: set[str] = set()  # parts that were looked through since the clock was set back; at first none

    @property
    def longest(self) -> int:
        """Return the longest lease as statements take it, in microseconds."""
        return round(self._longest_seconds() * 1e6)

    def notice(self, heads: Sequence[Head]) -> None:
        """Learn from what was read a moment ago whether the clock was set back."""
        for head in heads[:1]:
            ahead_by = head.moment / 1e6 - head.due_in_seconds - time.monotonic()
            if ahead_by < self._ahead_by - _STEP_SECONDS:
                self._calm.clear()
            self._ahead_by = ahead_by

    def read(self, connection: Connection, heads: Sequence[Head], most: int, part: str = "") -> list[Any]:
        """Read claims of lanes that count no more; where there are very many, of the ``part`` that they are.

        All that are held are looked through only while there is a suspicion.
        """
        types, shards = {head.task_type for head in heads}, {head.shard for head in heads}
        values = {"types": sorted(types), "shards": sorted(shards), "longest": self.longest, "limit": most}
        rows = connection.execute(queries.ahead(self._tasks, all_held=part not in self._calm), values).all()
        leases = [Lease(_key(row), float(row.ends_at), float(row.began_at), float(row.seconds_left)) for row in rows]
        left = self._watch.seconds_left(f"{_WATCH} {part}", leases)
        if any(row.begins_in > 0 for row in rows):
            self._calm.discard(part)
        else:
            self._calm.add(part)
        return [row for row in rows if self._is_over(row, left[_key(row)])]

    def _is_over(self, row: Any, seconds_left: float) -> bool:
        if row.begins_in > 0:
            return seconds_left <= 0
        return row.seconds_left > self._longest_seconds() and travels(row.claim_token)


def _key(row: Any) -> tuple[object, ...]:
    return row[0], row.claim_token

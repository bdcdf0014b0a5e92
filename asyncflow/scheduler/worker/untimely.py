"""Claims that end later than they can: the database's clock was set back since they were made."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from asyncflow.scheduler.cluster.lease_watch import Lease, LeaseWatch
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.table.claim_owner import travels
from asyncflow.scheduler.worker import queries as claim_queries

_STEP_SECONDS = 1.0  # a clock that is slewed, or asked late, differs by less
_WATCH = "claims"


class Untimely:
    """Find the claims that nobody renews any more, whatever the clock says; one thread asks.

    One that begins later than now was written before the clock was set back. It counts for its own length from when it
    is first seen, in which its worker renews it if it lives. One of a task service that ends later than
    ``longest_seconds`` from now, the longest that a worker may ask for, counts for no moment more.
    """

    def __init__(
        self, tasks: Table, longest_seconds: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tasks = tasks
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._watch = LeaseWatch(clock)
        self._ahead_by = float("inf")  # how far the database's clock is ahead of ours, when it was last asked
        self._is_suspicious = True  # at first, for nobody has watched the clock before

    @property
    def longest(self) -> int:
        """Return the longest lease as statements take it, in microseconds."""
        return round(self._longest_seconds() * 1e6)

    def notice(self, heads: Sequence[Head]) -> None:
        """Learn from what was read a moment ago whether the clock was set back."""
        for head in heads[:1]:
            ahead_by = head.moment / 1e6 - head.due_in_seconds - self._clock()
            self._is_suspicious |= ahead_by < self._ahead_by - _STEP_SECONDS
            self._ahead_by = ahead_by

    def read(self, connection: Connection, types: Collection[str], shards: Collection[int], most: int) -> list[Any]:
        """Read claims that count no more. All that are held are looked through only while there is a suspicion."""
        values = {"types": sorted(types), "shards": sorted(shards), "longest": self.longest, "limit": most}
        rows = connection.execute(claim_queries.ahead(self._tasks, all_held=self._is_suspicious), values).all()
        leases = [Lease(_key(row), float(row.ends_at), float(row.began_at), float(row.seconds_left)) for row in rows]
        left = self._watch.seconds_left(_WATCH, leases)
        self._is_suspicious = any(row.begins_in > 0 for row in rows)
        return [row for row in rows if self._is_over(row, left[_key(row)])]

    def _is_over(self, row: Any, seconds_left: float) -> bool:
        if row.begins_in > 0:
            return seconds_left <= 0
        return row.seconds_left > self._longest_seconds() and travels(row.claim_token)


def _key(row: Any) -> tuple[object, ...]:
    return row[0], row.claim_token

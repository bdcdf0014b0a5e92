"""Views of the cluster: what rows of members and shards tell, by one's own watch of their leases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from asyncflow.scheduler.cluster.queries import FORGOTTEN_AFTER
from asyncflow.scheduler.cluster.registry import Holding, View
from asyncflow.scheduler.cluster.rhythm import Rhythm
from asyncflow.scheduler.cluster.seeing.lease_watch import Lease, LeaseWatch
from asyncflow.scheduler.cluster.seeing.queries import MEMBER, SHARD

_PART_OF_STALL = 1 / 3  # of a lease: what is left of one that is renewed in time


class Views:
    """Make views of what one instance reads; whoever looks, and forgets members, does so on one thread at a time."""

    def __init__(self, instance: str, rhythm: Rhythm) -> None:
        self._instance = instance
        # Who lives looks once a heartbeat, and renews what is late; it may stall for as long as anywhere else.
        self._stall_seconds = rhythm.lease_seconds * _PART_OF_STALL
        self._watch = LeaseWatch(rhythm.clock, doubt_seconds=rhythm.heartbeat_seconds + self._stall_seconds)
        self._silent: dict[str, frozenset[str]] = {}  # for so long that they may be forgotten; by job

    def view(self, job: str, rows: Sequence[Row[Any]], asked_at: float, *, is_member: bool) -> View:
        """Return the view of a job whose rows were asked for then, on the rhythm's clock.

        ``is_member``: the instance takes part in it.
        """
        left = self._watch.seconds_left(job, map(_lease, rows), asked_at)
        held, doubt = self._watch.seconds_held(job, asked_at), self._watch.seconds_of_doubt(job)
        known = [row for row in rows if row.kind == MEMBER]
        # We live, for we look: somebody may hold the lock of our row, so that it is not renewed.
        mine = self._instance if is_member else None
        live = [row for row in known if row.owner == mine or left[_leased(row)] > 0]
        members = sorted(row.owner for row in live if not row.disabled)
        leaving = frozenset(row.owner for row in live if row.disabled)
        certain = {row.owner: float(row.seconds_left or 0.0) for row in known if doubt[_leased(row)] <= 0}
        departed = frozenset(certain) - leaving - set(members)
        self._silent[job] = frozenset(name for name in departed if certain[name] < -FORGOTTEN_AFTER.total_seconds())
        items = {
            row.shard: _holding(row, (held if row.owner == self._instance else doubt)[_leased(row)])
            for row in rows
            if row.kind == SHARD
        }
        is_late = any(row.owner == self._instance and (row.seconds_left or 0.0) < self._stall_seconds for row in rows)
        unheard = {row.owner: _unheard_seconds(row) for row in live}
        return View(tuple(members), items, leaving, departed, is_late, unheard_seconds=unheard)

    def forgettable(self) -> dict[str, list[str]]:
        """Return the members, by job, of whom nothing was heard for long, as the last view of it shows."""
        return {job: sorted(names) for job, names in self._silent.items() if names}

    def forget(self) -> None:
        """Know that they are forgotten."""
        self._silent.clear()


def _lease(row: Row[Any]) -> Lease:
    ends_at, began_at = (None if moment is None else float(moment) for moment in (row.ends_at, row.began_at))
    return Lease(_leased(row), ends_at, began_at, float(row.seconds_left or 0.0))


def _unheard_seconds(row: Row[Any]) -> float:
    """Return how long ago the lease was written: what has passed of its length."""
    return float(row.ends_at) - float(row.began_at) - float(row.seconds_left)


def _leased(row: Row[Any]) -> tuple[object, ...]:
    return row.kind, row.shard, row.owner, row.epoch


def _holding(row: Row[Any], seconds_left: float) -> Holding:
    return Holding(row.owner, row.epoch, seconds_left, bool(row.disabled), bool(row.misfire), bool(row.running))

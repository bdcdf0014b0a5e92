"""How long others' leases last, told by a clock that nobody can set."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Leased = tuple[Any, ...]


class Lease(NamedTuple):
    """Hold a lease as it is read: ``ends_at`` and ``began_at`` are moments in seconds, by the database's clock."""

    key: Leased  # what is leased, and to whom
    ends_at: float | None
    began_at: float | None
    seconds_left: float  # by the database's clock


class _SeenLease(NamedTuple):
    ends_at: float | None
    held_until: float  # on the monotonic clock, as its owner may believe; the two others as others must
    until: float
    certain_at: float  # not before ``until``: when nobody can hold it any more


class LeaseWatch:
    """Time leases from when each was first seen until it is renewed; lives as long as its registry, thread-safe.

    The database's clock is asked once for each renewal. When it is set afterwards, no lease becomes shorter, and none
    longer; one that was written before it was set back lasts no longer than when it was written. One that has run out
    when it is first seen may have been written before the clock was set forward: it is in doubt for ``doubt_seconds``
    or its own length, in which its owner renews it if it lives.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, doubt_seconds: float = 0.0) -> None:
        self._clock = clock
        self._doubt = doubt_seconds
        self._lock = threading.Lock()
        self._seen: dict[str, dict[Leased, _SeenLease]] = {}  # by job

    def seconds_left(self, job: str, leases: Iterable[Lease], asked_at: float | None = None) -> dict[Leased, float]:
        """Return how long each lease of a job lasts, 0 or less if it has run out; the others of it are forgotten.

        ``asked_at``: when the database was asked for them, by the same clock; without, a moment ago.
        """
        now = self._clock()
        with self._lock:
            before = self._seen.get(job, {})
            asked_at = now if asked_at is None else asked_at
            seen = {lease.key: self._look(before.get(lease.key), lease, now, asked_at) for lease in leases}
            self._seen[job] = seen
        return {key: one.until - now for key, one in seen.items()}

    def seconds_of_doubt(self, job: str) -> dict[Leased, float]:
        """Return for how long each of those leases may be held all the same, 0 or less if it is free."""
        now = self._clock()
        with self._lock:
            return {key: one.certain_at - now for key, one in self._seen.get(job, {}).items()}

    def seconds_held(self, job: str, asked_at: float) -> dict[Leased, float]:
        """Return how long, from when the database was asked, the owner of each of those leases holds it at the least.

        It began when the database read the clock, which is not before it was asked; the answer may have come late.
        """
        with self._lock:
            return {key: one.held_until - asked_at for key, one in self._seen.get(job, {}).items()}

    def _look(self, known: _SeenLease | None, lease: Lease, now: float, asked_at: float) -> _SeenLease:
        if known is not None and known.ends_at == lease.ends_at:
            return known
        left = certain = lease.seconds_left
        if lease.ends_at is not None and lease.began_at is not None:
            length = lease.ends_at - lease.began_at
            left, certain = min(left, length), min(max(left, self._doubt), length)
        # Who is known has renewed it a moment ago, and is counted as living for as long as there is doubt.
        is_over = known is None and left <= 0
        return _SeenLease(lease.ends_at, asked_at + left, now + (left if is_over else certain), now + certain)

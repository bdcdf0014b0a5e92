"""The instances of one application, seen from one of them: leases renewed, shards taken, handed over, given back.

Every instance computes the same allocation from the same view and acts on its own part alone; there is no leader.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from asyncflow.errors import OptionError
from asyncflow.events import Hooks
from asyncflow.scheduler.cluster.allocation import Allocation
from asyncflow.scheduler.cluster.membership import NO_NEWS, LeasedOwnership, Look, News, Stake
from asyncflow.scheduler.cluster.registry import Registry, View
from asyncflow.scheduler.cluster.rhythm import Rhythm
from asyncflow.scheduler.cluster.share import Share
from asyncflow.scheduler.loops.pause import AdaptivePause

_SHORTEST_PAUSE_SECONDS = 0.05  # while a hand-over is under way
_LOOKS_A_HEARTBEAT = 8  # while items are awaited
_PART_OF_LEASE = 2 / 3  # after which it is renewed at the latest; a stall of the rest costs nothing
_STALE_SECONDS = 5.0  # and after so much, however long it is: what an instance tells of itself goes with a renewal


class Cluster:
    """Step the ownerships of all jobs of one instance; lives as long as its scheduler.

    One loop calls ``step``; other threads may acquire, refresh and release ownerships meanwhile. ``wake`` lets the
    loop look soon: it is called, on a thread at work, when an item that another instance waits for may be free to go.
    """

    def __init__(
        self, registry: Registry, rhythm: Rhythm, hooks: Hooks, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.registry = registry
        self.clock = rhythm.clock
        self.wake = wake
        self._lease_seconds = rhythm.lease_seconds
        self._renewal_seconds = min(rhythm.lease_seconds * _PART_OF_LEASE, _STALE_SECONDS)
        self._heartbeat_seconds = rhythm.heartbeat_seconds
        self._hooks = hooks
        # Others hand over within a heartbeat; what they hand over is not to wait for another one.
        self._pause = AdaptivePause(_SHORTEST_PAUSE_SECONDS, rhythm.heartbeat_seconds / _LOOKS_A_HEARTBEAT)
        self._ownerships: dict[str, LeasedOwnership] = {}
        self._beat = threading.RLock()  # a hook may call back
        self._renewed_at = float("-inf")
        self._leased_until = float("-inf")

    def ownership_of(
        self,
        job: str,
        item_count: int,
        allocation: Allocation,
        *,
        share: Share | None = None,
        news: News = NO_NEWS,
    ) -> LeasedOwnership:
        """Return the ownership of a job's items, which has not taken part yet; raises OptionError for a second one.

        ``news`` are told of what changes. A ``share`` that is given was made before, by who has others look at it.
        """
        if job in self._ownerships:
            raise OptionError(f"the job {job!r} is there already; give each job of a scheduler a name of its own")
        stake = Stake(job, item_count, allocation)
        made = LeasedOwnership(self, stake, share or Share(self.wake, self.clock), self._hooks, news)
        self._ownerships[job] = made
        return made

    def step(self) -> float:
        """Renew the leases when it is time, look, and act; return the seconds until the next look."""
        with self._beat:
            present = [one for one in list(self._ownerships.values()) if one.takes_part]  # a start adds jobs meanwhile
            if not present:
                return self._heartbeat_seconds
            if self.clock() + self._heartbeat_seconds - self._renewed_at > self._renewal_seconds:
                self._renew()
            if self._act(present):
                self._pause.reset()
            if all(one.is_at_rest for one in present):
                return self._heartbeat_seconds
            return self._pause.after_nothing(self._heartbeat_seconds)

    def _act(self, ownerships: list[LeasedOwnership]) -> bool:
        """Let each act on what it sees, and look once more if any did; return whether any did."""
        acted = [one for one, look in self._seen(ownerships) if one.act(look)]
        if acted:
            for one, look in self._seen(acted):
                one.adopt(look)
        return bool(acted)

    def _seen(self, ownerships: list[LeasedOwnership]) -> list[tuple[LeasedOwnership, Look]]:
        jobs = [one.job for one in ownerships]
        asked_at, views = self._asked(jobs)
        if any(view.is_late for view in views.values()):
            # The clock was set forward, or a row was locked: before somebody takes what looks as if nobody held it.
            self._renew()
            asked_at, views = self._asked(jobs)
        return [(one, self._look(views[one.job], asked_at)) for one in ownerships]

    def _look(self, view: View, asked_at: float) -> Look:
        return Look(view, asked_at, min(self._leased_until, asked_at + view.rests_in_seconds))

    def _asked(self, jobs: list[str]) -> tuple[float, dict[str, View]]:
        """Return the views, and the moment before they were asked for: an answer may come late."""
        asked_at = self.clock()
        return asked_at, self.registry.views(jobs)

    def _renew(self) -> None:
        """Renew the leases; what is owned by them, only the next view tells: the old ones may have run out."""
        # The moment before: the lease may begin as soon as it is asked for.
        asked_at = self.clock()
        self.registry.renew()
        self._renewed_at = asked_at
        self._leased_until = asked_at + self._lease_seconds

    # -- what the ownerships ask -------------------------------------------------------------------------

    def enter(self, one: LeasedOwnership) -> None:
        """Join, and act once."""
        with self._beat:
            shared = one.allocation.is_shared
            self.registry.join(one.job, one.item_count, is_candidate=shared, changed=self.wake)
            if not shared:
                view = self.registry.views([one.job])[one.job]
                self.registry.seize(one.job, one.allocation.shares(view)[one.owner])
            one.take_part()
            self._renew()
            self._act([one])

    def await_rest(self, one: LeasedOwnership) -> None:
        """Step until the share is complete and leased, or a dead owner's lease must have run out."""
        deadline = self.clock() + self._lease_seconds + 2 * self._heartbeat_seconds
        while not _is_complete(one) and self.clock() < deadline:
            pause = self.step()
            if not _is_complete(one):
                time.sleep(min(pause, _SHORTEST_PAUSE_SECONDS))

    def look_at(self, one: LeasedOwnership) -> None:
        """Let one ownership know what it owns now."""
        with self._beat:
            if one.takes_part:
                for _, look in self._seen([one]):
                    one.adopt(look)

    def exit(self, one: LeasedOwnership) -> None:
        """Let one ownership hand over what it owns, then leave."""
        with self._beat:
            if not one.takes_part:
                return
            self.registry.retire(one.job)
            for _, look in self._seen([one]):
                one.hand_over_all(look)
            self.registry.leave(one.job)
            one.forget()


def _is_complete(one: LeasedOwnership) -> bool:
    return one.is_at_rest and one.fault() is None

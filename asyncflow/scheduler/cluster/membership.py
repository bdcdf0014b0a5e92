"""The ownership of one job's items by leases; what it does, its cluster's beat decides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from asyncflow.errors import LeasesLostError
from asyncflow.events import Hooks, MembersChanged, OwnershipChanged, ShardsHandedOver
from asyncflow.scheduler.cluster.allocation import Allocation
from asyncflow.scheduler.cluster.registry import Registry, View
from asyncflow.scheduler.cluster.share import Hold, Share

_MOST_TIMES = 5  # that a work is done because its leases ran out


class Beat(Protocol):
    """Keep an ownership in step with the other instances: what it asks of its cluster."""

    registry: Registry

    def enter(self, one: LeasedOwnership) -> None:
        """Join, and act once."""
        ...

    def await_rest(self, one: LeasedOwnership) -> None:
        """Step until the share is complete and leased."""
        ...

    def look_at(self, one: LeasedOwnership) -> None:
        """Let one ownership know what it owns now."""
        ...

    def exit(self, one: LeasedOwnership) -> None:
        """Let one ownership hand over what it owns, then leave."""
        ...


@dataclass(frozen=True)
class Look:
    """Hold what was seen of a job, and until when leases last at the least; moments of the monotonic clock.

    ``asked_at`` is the moment before it was asked for. ``leased_until``: until then all that was renewed last lasts.
    """

    view: View
    asked_at: float
    leased_until: float

    def ends(self, items: Iterable[int]) -> dict[int, float]:
        """Return the ends of those of this instance's items whose own leases end sooner than those renewed last."""
        ends = {item: self.asked_at + self.view.items[item].seconds_left for item in items}
        return {item: end for item, end in ends.items() if end < self.leased_until}


@dataclass(frozen=True)
class Stake:
    """Name a job of which an instance wants a share, the number of its items, and who is to have which."""

    job: str
    item_count: int
    allocation: Allocation


@dataclass(frozen=True)
class News:
    """Hold whom an ownership tells, on the cluster's thread.

    That other items are owned, who is there and who is gone, and which of its items are marked as owed a run.
    """

    on_change: Callable[[], None] = lambda: None
    on_view: Callable[[Collection[str], Collection[str]], None] = lambda present, gone: None
    on_owed: Callable[[Collection[int]], None] = lambda items: None


NO_NEWS = News()


class LeasedOwnership:
    """Own this instance's share of one job, from ``acquire`` to ``release``; made by ``Cluster.ownership_of``.

    Any thread may ask: what is owned is in the share, which has a lock. All else is written under that of the cluster's
    beat, by one thread at a time.
    """

    def __init__(self, cluster: Beat, stake: Stake, share: Share, hooks: Hooks, news: News = NO_NEWS) -> None:
        self.owner = cluster.registry.instance
        self.job = stake.job
        self.item_count = stake.item_count
        self.allocation = stake.allocation
        self.takes_part = self.is_at_rest = False
        self.share = share
        # Asked for each round: the items to work on, none once the lease may have run out, and a hold on them.
        self.epochs: Callable[[], Mapping[int, int]] = share.epochs
        self.in_use: Callable[[], Hold] = share.hold
        self._cluster = cluster
        self._registry = cluster.registry
        self._hooks = hooks
        self._news = news
        self._members: tuple[str, ...] = ()
        self._present: frozenset[str] = frozenset()

    # -- what the loops ask ------------------------------------------------------------------------------

    def acquire(self) -> None:
        """Join the cluster, and own what is free of the share."""
        self._cluster.enter(self)

    def await_share(self) -> None:
        """Step the cluster until the share is complete and leased."""
        self._cluster.await_rest(self)

    def with_leases(self, work: Callable[[], object]) -> None:
        """Do the work, and once more if the leases had run out at its end.

        For a thread that does it in place of the loops: nobody else renews them. Raises LeasesLostError if they do so
        again and again; whoever has left the cluster meanwhile has done.
        """
        for _ in range(_MOST_TIMES):
            work()
            if not self.takes_part or self.share.is_leased():
                return
            self.await_share()
        raise LeasesLostError(
            f"the leases of {self.job!r} ran out {_MOST_TIMES} times while this drain looked for what is due: give a "
            f"longer lease_seconds, or see why the database or the registry is slow"
        )

    def refresh(self) -> None:
        """Look at once instead of at the next beat."""
        self._cluster.look_at(self)

    def release(self) -> None:
        """Hand the items over to those that stay, and leave."""
        self._cluster.exit(self)

    def fault(self) -> str | None:
        """Return why nothing can be worked on; None while leases are held, though they be on nothing."""
        if not self.takes_part:
            return "it takes no part in the cluster"
        return None if self.share.is_leased() else "its leases have run out, or are late"

    # -- what the cluster asks, one thread at a time -----------------------------------------------------

    def take_part(self) -> None:
        """Be asked with each beat from now on."""
        self.takes_part = True

    def adopt(self, look: Look) -> None:
        """Own what was seen to be owned, for as long as its leases last.

        An item whose own lease ends sooner, as it was not renewed with the others, rests from then on until it is.
        """
        view = look.view
        mine = {item: held.epoch for item, held in view.items.items() if held.owner == self.owner}
        before = self.share.owned()
        disabled = [item for item in mine if view.items[item].disabled]
        self.share.own(mine, disabled, look.ends(mine))
        self.share.last_until(look.leased_until)
        if mine != before:
            lost = tuple(sorted(before.keys() - mine.keys()))
            self._hooks.emit(OwnershipChanged(self.job, self.owner, tuple(sorted(mine)), lost))
            self._news.on_change()
        if owed := [item for item in mine if view.items[item].misfire]:
            self._news.on_owed(owed)
        self._notice(view)
        if view.members != self._members:
            self._members = view.members
            self._hooks.emit(MembersChanged(self.job, view.members))

    def _notice(self, view: View) -> None:
        """Tell who is there, and who is not any more: also the owners of items whose leases have run out."""
        # Whose shards are renewed is alive, also while somebody holds the lock of its membership.
        present = view.leaving | frozenset(view.members) | {self.owner} | frozenset(view.owners().values())
        owners = {held.owner for held in view.items.values() if held.owner and held.is_free}
        gone = ((self._present - present) | view.departed | owners) - present
        self._present = present
        self._news.on_view(present, gone)

    def act(self, look: Look) -> bool:
        """Take what is free and due to this instance, hand over what is due to others; return whether there was any."""
        self.adopt(look)
        view = look.view
        shares = self.allocation.shares(view)
        due = set(shares.get(self.owner, ()))
        owned = self.share.owned().keys()
        free = [item for item in due if view.items[item].is_free and item not in owned]
        if free:
            self._registry.acquire(self.job, free)
        handed_over = self._hand_over(shares, self.share.drain(owned - due if self._is_counted(view) else ()))
        self.is_at_rest = owned == due
        return bool(free) or handed_over

    def _is_counted(self, view: View) -> bool:
        """Tell whether the view knows what is due to this instance; one whose membership is lost keeps what it has."""
        return not self.allocation.is_shared or self.owner in view.members or self.owner in view.leaving

    def hand_over_all(self, look: Look) -> None:
        """Hand over everything that no hold has, to those that are candidates still."""
        self.adopt(look)
        self._hand_over(self.allocation.shares(look.view), self.share.drain(self.share.owned()))

    def forget(self) -> None:
        """Own nothing."""
        self.takes_part = self.is_at_rest = False
        self.share.own({})
        self._hooks.emit(OwnershipChanged(self.job, self.owner, (), ()))

    def _hand_over(self, shares: Mapping[str, Collection[int]], drained: set[int]) -> bool:
        acted = False
        for successor, items in shares.items():
            given = drained.intersection(items) if successor != self.owner else set()
            if given:
                self._registry.hand_over(self.job, given, successor)
                self._hooks.emit(ShardsHandedOver(self.job, successor, tuple(sorted(given))))
                self._drop(given)
                acted = True
        return acted

    def _drop(self, items: set[int]) -> None:
        """Own these no more: not lost, for they were given away."""
        self.share.drop(items)
        self._hooks.emit(OwnershipChanged(self.job, self.owner, tuple(sorted(self.share.owned())), ()))

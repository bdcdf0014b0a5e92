"""The seam behind which instances know of each other.

Its conformance suite is ``tests/integration/scheduler/cluster/test_registry.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol


class Holding(NamedTuple):
    """Tell of one item: who owns it, in which epoch, and for how many seconds more; 0 or less if nobody does.

    Of an item of this instance these are no more than were left when it was asked for, of another's no fewer than are
    left when the answer has come: who owns it believes so for no moment too long, and who does not waits for it.
    """

    owner: str | None
    epoch: int
    seconds_left: float
    disabled: bool = False
    misfire: bool = False
    running: bool = False

    @property
    def is_free(self) -> bool:
        """Tell whether anybody may acquire it."""
        return self.owner is None or self.seconds_left <= 0


class View(NamedTuple):
    """Hold what an instance sees of one job: its live members that want shards, sorted, and its items.

    ``leaving`` are live ones that want none any more, ``departed`` those whose leases have run out for certain.
    ``is_late``: where leases are kept, one of this instance has run out or soon will; it renews them at once.
    ``rests_in_seconds``: how long, from when it was asked for, this instance may work on what it owns, whatever its
    leases say; a registry that others hear of its death by tells it.
    ``unheard_seconds``: of each live one, for how long its membership was not renewed, by the database's clock.
    """

    members: tuple[str, ...]
    items: Mapping[int, Holding]
    leaving: frozenset[str] = frozenset()
    departed: frozenset[str] = frozenset()
    is_late: bool = False
    rests_in_seconds: float = math.inf
    unheard_seconds: Mapping[str, float] = MappingProxyType({})

    def owners(self) -> dict[int, str]:
        """Return the owner of each item that has one whose lease runs."""
        return {item: holding.owner for item, holding in self.items.items() if holding.owner and not holding.is_free}


class Registry(Protocol):
    """Keep members, owners, epochs and leases for one instance; any of its threads may call.

    What is written is guarded where it is kept, so that of two instances that act on different views one
    changes nothing. Every change of an owner raises the item's epoch in ``asyncflow_shard``, whatever else a
    registry keeps elsewhere: settles are fenced there.
    """

    instance: str

    def join(self, job: str, item_count: int, *, is_candidate: bool, changed: Callable[[], None]) -> None:
        """Take part in ``job``; a candidate is a member to which items are allocated, any other is only seen.

        Records the number of items with the first one to join. ``changed`` may be called, on any thread, when
        the registry learns of a change by itself; one that cannot leaves that to the heartbeat.

        Raises ShardCountMismatchError.
        """
        ...

    def views(self, jobs: Collection[str]) -> dict[str, View]:
        """Return what is to be seen of each of the jobs."""
        ...

    def renew(self) -> None:
        """Let this instance's memberships and the leases of its items run anew, in all jobs."""
        ...

    def acquire(self, job: str, items: Collection[int]) -> None:
        """Become the owner of those of the items that are free."""
        ...

    def seize(self, job: str, items: Collection[int]) -> None:
        """Become the owner of the items, whoever owns them."""
        ...

    def hand_over(self, job: str, items: Collection[int], successor: str) -> None:
        """Make ``successor`` the owner of those of the items that this instance owns, if it is a candidate still."""
        ...

    def retire(self, job: str) -> None:
        """Be a candidate no more; the items stay until they are handed over or given up."""
        ...

    def close(self) -> None:
        """Give back what is held between two calls; a later call may take it again."""
        ...

    def leave(self, job: str) -> None:
        """Give up every item of the job, and the membership."""
        ...

"""Who should own what: shared out by a strategy, or fixed by each process's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from asyncflow.scheduler.cluster.registry import View
from asyncflow.scheduler.cluster.strategies import Strategy


class Allocation(Protocol):
    """Tell the items of each instance, by what everybody sees."""

    is_shared: bool  # among those that take part; without, an instance seizes what is its own

    def shares(self, view: View) -> Mapping[str, Collection[int]]:
        """Return the items of each instance."""
        ...


class SharedOut:
    """Let a strategy deal the items of ``job`` among its members."""

    is_shared = True

    def __init__(self, job: str, strategy: Strategy) -> None:
        self._job = job
        self._strategy = strategy

    def shares(self, view: View) -> Mapping[str, Collection[int]]:
        """Return what the strategy gives each member."""
        return self._strategy(self._job, view.members, len(view.items), view.owners())


class Fixed:
    """Give ``instance`` the items with ``item % count == index``, and say nothing of the others."""

    is_shared = False

    def __init__(self, instance: str, index: int, count: int) -> None:
        self._instance = instance
        self._index = index
        self._count = count

    def shares(self, view: View) -> Mapping[str, Collection[int]]:
        """Return the fixed share."""
        return {self._instance: [item for item in view.items if item % self._count == self._index]}

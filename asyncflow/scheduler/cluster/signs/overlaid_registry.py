"""A registry that lies over the database's: elsewhere it hears who lives, and all else it keeps in the database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import Holding, View


class Hearsay(Protocol):
    """Be where one instance is heard of, and hears of others."""

    def forget(self, job: str, instances: Collection[str], /) -> None:
        """Forget the dead of whom nobody knows anything else."""
        ...

    def leave(self, job: str) -> None:
        """Be heard of no more."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class OverlaidRegistry(ABC):
    """Lay what is heard elsewhere over the database's registry; belongs to one process, any thread may call.

    Owners, epochs and leases are the database's, so that settles are fenced there, and instances that are not heard of
    elsewhere may take part.
    """

    def __init__(self, database: DatabaseRegistry, hearsay: Hearsay) -> None:
        self.instance = database.instance
        self._database = database
        self._hearsay = hearsay
        self._clock = database.rhythm.clock
        self._forgettable: dict[str, frozenset[str]] = {}  # by job: the dead of whom the database knows nothing

    @abstractmethod
    def join(self, job: str, item_count: int, *, is_candidate: bool, changed: Callable[[], None]) -> None:
        """Join in the database, and be heard of."""

    @abstractmethod
    def views(self, jobs: Collection[str]) -> dict[str, View]:
        """Return what the database has, with those as departed who are heard of no more."""

    @abstractmethod
    def acquire(self, job: str, items: Collection[int]) -> None:
        """Take what is free by its lease, and what those held who are heard of no more at this moment."""

    @abstractmethod
    def _give_sign(self) -> None:
        """Be heard of, where that has ended."""

    def renew(self) -> None:
        """Renew in the database, and be heard of; forget the dead of whom nobody knows."""
        self._database.renew()
        self._give_sign()
        forgettable, self._forgettable = self._forgettable, {}
        for job, names in forgettable.items():
            self._hearsay.forget(job, names)

    def seize(self, job: str, items: Collection[int]) -> None:
        """Take the items."""
        self._database.seize(job, items)

    def hand_over(self, job: str, items: Collection[int], successor: str) -> None:
        """Change the owner in the database."""
        self._database.hand_over(job, items, successor)

    def retire(self, job: str) -> None:
        """Be a candidate no more; alive all the same."""
        self._database.retire(job)

    def leave(self, job: str) -> None:
        """Give up what is owned, and then be heard of no more: nobody is to find an owner dead who leaves well."""
        try:
            self._database.leave(job)
        finally:
            self._hearsay.leave(job)

    def close(self) -> None:
        """Give both connections back."""
        try:
            self._database.close()
        finally:
            self._hearsay.close()

    def _note_gone(self, job: str, gone: Collection[str], view: View) -> None:
        self._forgettable[job] = frozenset(gone) - _known(view)


def departed(view: View, gone: frozenset[str], items: Mapping[int, Holding]) -> View:
    """Return the view in which these are gone, and the items are as they are without them."""
    return view._replace(
        members=tuple(name for name in view.members if name not in gone),
        items=items,
        leaving=view.leaving - gone,
        departed=view.departed | (gone & _known(view)),
    )


def _known(view: View) -> frozenset[str]:
    """Return those of whom the database knows: as members, or as owners."""
    owners = frozenset(held.owner for held in view.items.values() if held.owner)
    return view.leaving | view.departed | frozenset(view.members) | owners

"""The registry that hears of the silent from a board, and keeps all else in the database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import View
from asyncflow.scheduler.cluster.signs.life_signs import LifeSigns, Silent


class BoardRegistry:
    """Lay what a board tells over the database's registry; belongs to one process, any thread may call.

    Owners, epochs and leases are the database's, so that settles are fenced there, and instances without the board may
    take part. Of one who has been silent for a session others take what its last sign told that it held, in the epochs
    that it told, though its leases run. While the board is away all goes by leases.
    """

    def __init__(self, database: DatabaseRegistry, signs: LifeSigns) -> None:
        self.instance = database.instance
        self._database = database
        self._signs = signs
        self._clock = database.rhythm.clock
        self._forgettable: dict[str, frozenset[str]] = {}  # by job: the silent of whom the database knows nothing

    def join(self, job: str, item_count: int, *, is_candidate: bool, changed: Callable[[], None]) -> None:
        """Join, and give signs; nothing is pushed. A board that is away is waited for by nobody.

        Raises RegistryRefusedError or ShardCountMismatchError.
        """
        self._database.join(job, item_count, is_candidate=is_candidate, changed=changed)
        try:
            self._signs.enter(job)
        except BaseException:
            self._database.leave(job)
            raise

    def views(self, jobs: Collection[str]) -> dict[str, View]:
        """Ask the board, then the database; and tell the board what is owned, where that is new."""
        asked_at = self._clock()
        silent = self._signs.look()
        overdue = self._own_anew()
        read = self._database.views({*jobs, *overdue})
        for job in overdue:
            self._signs.withdraw(job, self._owned(read[job]))
        views = {job: _seen(read[job], silent.get(job, {})) for job in jobs}
        for job, names in silent.items():
            if job in views:
                self._forgettable[job] = frozenset(names) - _known(views[job])
        self._signs.promise({job: self._owned(view) for job, view in views.items()})
        rests_in = self._signs.rests_at - asked_at
        return {job: view._replace(rests_in_seconds=rests_in) for job, view in views.items()}

    def renew(self) -> None:
        """Renew in the database, and give a sign; forget the silent of whom nobody knows."""
        self._database.renew()
        self._signs.look()
        forgettable, self._forgettable = self._forgettable, {}
        for job, names in forgettable.items():
            self._signs.forget(job, names)

    def acquire(self, job: str, items: Collection[int]) -> None:
        """Take what is free by its lease, and what those held who are silent at this moment."""
        self._database.acquire(job, items)
        silent = self._signs.look().get(job, {})
        told = {(item, epoch) for held in silent.values() for item, epoch in held.items() if item in items}
        if told:
            self._database.take_over(job, {item for item, _ in told}, silent, in_epochs=told)

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
        """Give up what is owned, and then the sign."""
        try:
            self._database.leave(job)
        finally:
            self._signs.leave(job)

    def close(self) -> None:
        """Give both connections back."""
        try:
            self._database.close()
        finally:
            self._signs.close()

    def _own_anew(self) -> Collection[str]:
        """Own in new epochs what the last sign promised for no longer: nobody may take it by that sign any more.

        Return the jobs. A row that somebody has locked may be left out; only a view tells.
        """
        overdue = self._signs.overdue()
        for job, held in overdue.items():
            self._database.take_over(job, held, [self.instance])
        return overdue.keys()

    def _owned(self, view: View) -> dict[int, int]:
        return {item: held.epoch for item, held in view.items.items() if held.owner == self.instance}


def _seen(view: View, silent: Silent) -> View:
    """Return the view with what the silent held as free.

    One of them that owns anything else is silent at the board alone: it lives as long as its leases do.
    """
    items = {
        item: held._replace(seconds_left=0.0) if silent.get(held.owner or "", {}).get(item) == held.epoch else held
        for item, held in view.items.items()
    }
    seen = view._replace(items=items)
    gone = silent.keys() - set(seen.owners().values())
    return seen._replace(
        members=tuple(name for name in view.members if name not in gone),
        leaving=view.leaving - gone,
        departed=view.departed | (gone & _known(view)),
    )


def _known(view: View) -> frozenset[str]:
    """Return those of whom the database knows: as members, or as owners."""
    owners = frozenset(held.owner for held in view.items.values() if held.owner)
    return view.leaving | view.departed | frozenset(view.members) | owners

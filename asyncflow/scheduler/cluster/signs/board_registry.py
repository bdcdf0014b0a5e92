"""The registry that hears of the silent from a board, and keeps all else in the database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import View
from asyncflow.scheduler.cluster.signs.life_signs import LifeSigns, Silent
from asyncflow.scheduler.cluster.signs.overlaid_registry import OverlaidRegistry, departed


class BoardRegistry(OverlaidRegistry):
    """Lay what a board tells over the database's registry.

    Of one who has been silent for a session others take what its last sign told that it held, in the epochs
    that it told, though its leases run. While the board is away all goes by leases.
    """

    def __init__(self, database: DatabaseRegistry, signs: LifeSigns) -> None:
        super().__init__(database, signs)
        self._signs = signs

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
        views = {job: self._seen(job, read[job], silent.get(job, {})) for job in jobs}
        for job, names in silent.items():
            if job in views:
                self._note_gone(job, names, views[job])
        self._signs.promise({job: self._owned(view) for job, view in views.items()})
        rests_in = self._signs.rests_at - asked_at
        return {job: view._replace(rests_in_seconds=rests_in) for job, view in views.items()}

    def acquire(self, job: str, items: Collection[int]) -> None:
        """Take what is free by its lease, and what those held who are silent at this moment."""
        self._database.acquire(job, items)
        silent = self._signs.look().get(job, {})
        told = {(item, epoch) for held in silent.values() for item, epoch in held.items() if item in items}
        if told:
            self._database.take_over(job, {item for item, _ in told}, silent, in_epochs=told)

    def _give_sign(self) -> None:
        self._signs.look()

    def _own_anew(self) -> Collection[str]:
        """Own in new epochs what the last sign promised for no longer: nobody may take it by that sign any more.

        Return the jobs. A row that somebody has locked may be left out; only a view tells.
        """
        overdue = self._signs.overdue()
        for job, held in overdue.items():
            self._database.take_over(job, held, [self.instance])
        return overdue.keys()

    def _seen(self, job: str, view: View, silent: Silent) -> View:
        """Return the view with what the silent held as free, and without those as members who may be dead.

        One of the silent that owns anything else may be silent at the board alone: it lives as long as its leases do.
        """
        items = {
            item: held._replace(seconds_left=0.0) if silent.get(held.owner or "", {}).get(item) == held.epoch else held
            for item, held in view.items.items()
        }
        gone = silent.keys() - set(view._replace(items=items).owners().values())
        doubtful = self._signs.doubtful(job, view.unheard_seconds) - {self.instance} - gone
        members = tuple(name for name in view.members if name not in doubtful)
        aside = view._replace(members=members, leaving=view.leaving | doubtful)
        return departed(aside, frozenset(gone), items)

    def _owned(self, view: View) -> dict[int, int]:
        return {item: held.epoch for item, held in view.items.items() if held.owner == self.instance}

"""The registry that hears of the dead by ZooKeeper, and keeps all else in the database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from asyncflow.integrations.zookeeper.presence import Attendance, Presence
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import View


class ZooKeeperRegistry:
    """Lay what ZooKeeper tells over the database's registry; belongs to one process, any thread may call.

    Owners, epochs and leases are the database's, so that settles are fenced there, and instances without ZooKeeper may
    take part. Who came by ZooKeeper and is not there any more counts as dead at once, though its leases run; and this
    instance rests before others may count it so.
    """

    def __init__(self, database: DatabaseRegistry, presence: Presence) -> None:
        self.instance = database.instance
        self._database = database
        self._presence = presence
        self._clock = database.rhythm.clock
        self._forgettable: dict[str, frozenset[str]] = {}  # by job: the dead of whom the database knows nothing

    def join(self, job: str, item_count: int, *, is_candidate: bool, changed: Callable[[], None]) -> None:
        """Join, and be present; ``changed`` is called when anybody comes or goes.

        Raises RegistryAwayError or ShardCountMismatchError.
        """
        with self._presence.opened():
            self._database.join(job, item_count, is_candidate=is_candidate, changed=changed)
            try:
                # Whoever hears of the presence looks into the database at once.
                self._presence.enter(job, item_count, changed)
            except BaseException:
                self._database.leave(job)
                raise

    def views(self, jobs: Collection[str]) -> dict[str, View]:
        """Ask ZooKeeper, then the database: who is found dead may have come back meanwhile, but nobody else."""
        asked_at = self._clock()
        sights = self._presence.look(jobs)
        views = {job: self._seen(job, view, sights) for job, view in self._database.views(jobs).items()}
        for job, sight in sights.items():
            self._presence.show(job, [item for item, held in views[job].items.items() if held.owner == self.instance])
            self._forgettable[job] = sight.gone - _known(views[job])
        rests_in, mine = self._presence.works_until - asked_at, self._presence.jobs()
        return {job: view._replace(rests_in_seconds=rests_in) if job in mine else view for job, view in views.items()}

    def renew(self) -> None:
        """Renew in the database, and be present where that has ended; forget the dead of whom nobody knows."""
        self._database.renew()
        self._presence.look(self._presence.jobs())
        forgettable, self._forgettable = self._forgettable, {}
        for job, names in forgettable.items():
            self._presence.forget(job, names)

    def acquire(self, job: str, items: Collection[int]) -> None:
        """Take what is free by its lease, and what belongs to those who are dead at this moment."""
        self._database.acquire(job, items)
        sight = self._presence.look([job]).get(job, Attendance())
        if gone := sight.gone - {self.instance}:
            self._database.take_over(job, items, gone)

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
        """Give up what is owned, and then the presence: nobody is to find an owner dead who leaves in good order."""
        try:
            self._database.leave(job)
        finally:
            self._presence.leave(job)

    def close(self) -> None:
        """Give back the connection, and end the session."""
        try:
            self._database.close()
        finally:
            self._presence.close()

    def _seen(self, job: str, view: View, sights: dict[str, Attendance]) -> View:
        gone = sights.get(job, Attendance()).gone - {self.instance}
        if not gone:
            return view
        known = _known(view)
        items = {
            item: held._replace(seconds_left=0.0) if held.owner in gone else held for item, held in view.items.items()
        }
        return view._replace(
            members=tuple(name for name in view.members if name not in gone),
            items=items,
            leaving=view.leaving - gone,
            departed=view.departed | (gone & known),
        )


def _known(view: View) -> frozenset[str]:
    """Return those of whom the database knows: as members, or as owners."""
    owners = frozenset(held.owner for held in view.items.values() if held.owner)
    return view.leaving | view.departed | frozenset(view.members) | owners

"""The registry that hears of the dead by ZooKeeper, and keeps all else in the database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from asyncflow.integrations.zookeeper.presence import Attendance, Presence
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import View
from asyncflow.scheduler.cluster.signs.overlaid_registry import OverlaidRegistry, departed


class ZooKeeperRegistry(OverlaidRegistry):
    """Lay what ZooKeeper tells over the database's registry.

    Who came by ZooKeeper and is not there any more counts as dead at once, though its leases run; and this
    instance rests before others may count it so.
    """

    def __init__(self, database: DatabaseRegistry, presence: Presence) -> None:
        super().__init__(database, presence)
        self._presence = presence

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
            self._note_gone(job, sight.gone, views[job])
        rests_in, mine = self._presence.works_until - asked_at, self._presence.jobs()
        return {job: view._replace(rests_in_seconds=rests_in) if job in mine else view for job, view in views.items()}

    def acquire(self, job: str, items: Collection[int]) -> None:
        """Take what is free by its lease, and what belongs to those who are dead at this moment."""
        self._database.acquire(job, items)
        sight = self._presence.look([job]).get(job, Attendance())
        if gone := sight.gone - {self.instance}:
            self._database.take_over(job, items, gone)

    def _give_sign(self) -> None:
        self._presence.look(self._presence.jobs())

    def _seen(self, job: str, view: View, sights: dict[str, Attendance]) -> View:
        gone = sights.get(job, Attendance()).gone - {self.instance}
        if not gone:
            return view
        items = {
            item: held._replace(seconds_left=0.0) if held.owner in gone else held for item, held in view.items.items()
        }
        return departed(view, gone, items)

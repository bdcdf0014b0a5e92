"""The registry that needs nothing but the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, Row

from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.limits import Limits
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster import queries
from asyncflow.scheduler.cluster.bulletin import Bulletin, ClockGap, Told
from asyncflow.scheduler.cluster.registry import View
from asyncflow.scheduler.cluster.rhythm import Rhythm
from asyncflow.scheduler.cluster.seeing.queries import HEAD, read_views, read_views_and_heads
from asyncflow.scheduler.cluster.seeing.views import Views
from asyncflow.scheduler.cluster.shard_count import record_shards
from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.caution import Caution
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.stepping_over import lock_those_free
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.heads.queries import Head

T = TypeVar("T")


class DatabaseRegistry:
    """Keep members and shards in ``asyncflow_instance`` and ``asyncflow_shard``, by the database's clock.

    Any thread may call: looks go over one connection that is kept, under a lock, and all else over one for the moment.
    """

    def __init__(
        self, engine: Engine, outbox: Outbox, instance: str, rhythm: Rhythm, lookout: Lookout | None = None
    ) -> None:
        lease_seconds = rhythm.lease_seconds
        self.instance = instance
        self.rhythm = rhythm
        self._engine = engine
        self._caution = Caution()
        self._limits = Limits.within(lease_seconds)
        # Kept, for it is used with each heartbeat; each statement is a transaction by itself.
        self._looks = Database(engine, autocommit=True, limits=self._limits)
        self._looking = threading.Lock()
        self._lookout = lookout
        self._tasks = outbox.tasks
        self._joined: set[str] = set()
        self._shards = outbox.shards
        self._instances = outbox.instances
        self._lease = timedelta(seconds=lease_seconds)
        self._memberships: dict[str, bool] = {}  # by job, in the order of joining: whether it is a candidate
        self._clock = rhythm.clock
        self._views = Views(instance, rhythm)
        self.bulletin = Bulletin()
        self._is_told = True  # False: a membership was entered anew, and nothing stands in its row
        self.clock_gap = ClockGap(time.time)

    def join(self, job: str, item_count: int, *, is_candidate: bool, changed: Callable[[], None]) -> None:
        """Record the shards unless they are, and become a member. Nothing is pushed: ``changed`` is never called."""
        self._run(lambda connection: record_shards(connection, self._shards, job, item_count))
        self._joined.add(job)
        self._memberships[job] = is_candidate
        self._run(lambda connection: self._insert_member(connection, job))
        self.bulletin.forget()  # the row may be new

    def views(self, jobs: Collection[str]) -> dict[str, View]:
        """Read all of them in one statement, and what the lookout wants to know with it."""
        lookout = self._lookout
        wanted, looked_at = (lookout.wanted(), lookout.clock()) if lookout is not None else ((), 0.0)
        statement = self._statement(wanted)
        wanted_jobs = {"jobs": sorted(jobs)}
        asked_at, wall_clock = self._clock(), self.clock_gap.now()
        rows, has_heads = self._look(
            lambda connection: (connection.execute(statement, wanted_jobs).all(), True),
            # A locked task table must cost no lease.
            lambda connection: (connection.execute(self._statement(()), wanted_jobs).all(), False),
        )
        if lookout is not None and has_heads:
            for status in wanted:
                heads = [Head(row.job, row.shard, row.seconds_left) for row in rows if row.kind == HEAD + int(status)]
                lookout.take_in(status, heads, looked_at)
        seen = [row for row in rows if row.kind < HEAD]
        self._compare_clocks(wall_clock, seen)
        return {job: self._view(job, [row for row in seen if row.job == job], asked_at) for job in jobs}

    def renew(self) -> None:
        """Renew in two statements; a membership that was forgotten meanwhile is entered again.

        Members that are gone for long are forgotten then.
        """
        if self._caution.is_on:
            self._run(self._renew_free)
        else:
            self._renew_telling(self.bulletin.due(self.clock_gap.seconds_ahead))
        self._forget_members()

    def _renew_telling(self, told: Told | None) -> None:
        """Renew, and write what is told with it; without, past what others have locked."""
        renew, self._is_told = partial(self._renew, told=told), True
        if not self._look(renew, (lambda _: False) if self._looks.skips_locked else None):
            self._caution.note(1)
            self._run(self._renew_free)
        elif not self._is_told:
            self.bulletin.forget()
        elif told is not None:
            self.bulletin.note_written(told)

    def acquire(self, job: str, items: Collection[int]) -> None:
        """Take what is free by the database's clock."""
        self._own(queries.acquire_shards(self._shards), job, items)

    def take_over(
        self,
        job: str,
        items: Collection[int],
        dead: Collection[str],
        *,
        in_epochs: Collection[tuple[int, int]] | None = None,
    ) -> None:
        """Take those of the items that one of the ``dead`` owns, whose leases still run: somebody knows of them.

        ``in_epochs``: no others than these, which are pairs of item and epoch.
        """
        guards: dict[str, Any] = {"dead": sorted(dead)}
        if in_epochs is not None:
            guards["its_epochs"] = sorted(in_epochs)
        statement = queries.take_over_shards(self._shards, in_epochs=in_epochs is not None)
        self._own(statement, job, items, **guards)

    def seize(self, job: str, items: Collection[int]) -> None:
        """Take the items."""
        self._own(queries.seize_shards(self._shards), job, items)

    def hand_over(self, job: str, items: Collection[int], successor: str) -> None:
        """Change the owner without a moment in which there is none."""
        statement = queries.hand_over_shards(self._shards, self._instances)
        self._own(statement, job, items, owner=successor, former=self.instance)

    def retire(self, job: str) -> None:
        """Mark the membership as leaving."""
        self._memberships.pop(job, None)
        statement = queries.mark_leaving(self._instances)
        self._run(lambda connection: connection.execute(statement, self._of(job)))

    def leave(self, job: str) -> None:
        """Leave the shards without an owner, their epochs as they are, and delete the membership."""
        self._memberships.pop(job, None)
        self._run(lambda connection: self._leave(connection, job))
        self._joined.discard(job)
        if not self._joined:
            self.close()

    def close(self) -> None:
        """Give the connection back."""
        with self._looking:
            self._looks.close()

    def _view(self, job: str, rows: list[Row[Any]], asked_at: float) -> View:
        return self._views.view(job, rows, asked_at, is_member=bool(self._memberships.get(job)))

    def _compare_clocks(self, asked_at: float, rows: list[Row[Any]]) -> None:
        for row in rows:
            if row.ends_at is not None and row.seconds_left is not None:
                self.clock_gap.take_in(asked_at, float(row.ends_at) - float(row.seconds_left))
                return

    # -- work of one transaction -------------------------------------------------------------------------

    def _statement(self, wanted: tuple[Status, ...]) -> Any:
        if not wanted:
            return read_views(self._shards, self._instances)
        statuses = tuple(map(int, wanted))
        return read_views_and_heads(self._shards, self._instances, self._tasks, self._looks.dialect, statuses)

    def _look(self, work: Callable[[Connection], T], when_locked: Callable[[Connection], T] | None = None) -> T:
        with self._looking:
            return run_again(self._looks, work, when_locked)

    def _run(self, work: Callable[[Connection], T], when_locked: Callable[[Connection], T] | None = None) -> T:
        # A connection for each call: several threads may ask at once.
        with Database(self._engine, limits=self._limits) as database:
            return run_again(database, work, when_locked if database.skips_locked else None)

    def _of(self, job: str) -> dict[str, str]:
        return {"its_job": job, "its_instance": self.instance}

    def _forget_members(self) -> None:
        """Delete those of whom nothing was heard for long, by the clock and by one's own watch alike.

        By the clock alone, one that is set forward would let those be forgotten who live.
        """
        for job, names in self._views.forgettable().items():
            self._run(partial(self._forget, job=job, names=names))
        self._views.forget()

    def _forget(self, connection: Connection, job: str, names: list[str]) -> None:
        """Delete those whose rows nobody has locked: for the others no lease is to wait that was just renewed."""

        def lock(connection: Connection, some: Collection[str], skip_locked: bool) -> Sequence[str]:
            statement = queries.lock_members(self._instances, skip_locked=skip_locked)
            return connection.execute(statement, {"its_job": job, "names": sorted(some)}).scalars().all()

        if free := lock_those_free(connection, f"{self._instances.fullname} of {job}", names, lock):
            connection.execute(queries.forget_members(self._instances), {"its_job": job, "names": sorted(free)})

    def _insert_member(self, connection: Connection, job: str) -> None:
        """Enter the membership: of one that is no candidate, too, so that it is seen and tells of itself."""
        queries.insert_member(
            connection, self._instances, self._of(job), self._lease, leaving=not self._memberships[job]
        )

    def _renew(self, connection: Connection, told: Told | None) -> bool:
        member: dict[str, Any] = {"its_instance": self.instance, "lease": self._lease}
        if told is not None:
            member |= {"telling_job": next(iter(self._memberships), ""), "its_state": told.text}
        renew = queries.renew_member(self._instances, tells=told is not None)
        if connection.execute(renew, member).rowcount < len(self._memberships):
            for job in sorted(self._memberships):
                self._insert_member(connection, job)
            self._is_told = False
        owner = {"its_owner": self.instance, "lease": self._lease}
        connection.execute(queries.renew_shards(self._shards), owner)
        return True

    def _own(self, statement: Executable, job: str, items: Collection[int], owner: str = "", **guards: Any) -> None:
        if not items:
            return
        # In order, the order in which everybody locks them.
        values = {"its_job": job, "shards": sorted(items), "its_owner": owner or self.instance, "lease": self._lease}

        def own(connection: Connection, some: Collection[int]) -> None:
            connection.execute(statement, {**values, **guards, "shards": sorted(some)})

        def own_free(connection: Connection) -> None:
            if free := self._lock_free(connection, job, items):
                own(connection, free)

        self._run(lambda connection: own(connection, items), own_free)

    def _renew_free(self, connection: Connection) -> None:
        """Renew the leases of those rows that nobody has locked: the others alone are lost, if it lasts.

        Not with autocommit, which leaves the isolation as it is: there a look past a locked row waits for it.
        """
        owner = {"its_owner": self.instance, "lease": self._lease}
        mine = connection.execute(queries.shards_of(self._shards), owner).all()
        for job in sorted({row.job for row in mine}):
            if free := self._lock_free(connection, job, [row.shard for row in mine if row.job == job]):
                statement = queries.renew_some_shards(self._shards)
                connection.execute(statement, {**owner, "its_job": job, "shards": sorted(free)})

        def lock(connection: Connection, jobs: Collection[str], skip_locked: bool) -> Sequence[str]:
            statement = queries.lock_memberships(self._instances, skip_locked=skip_locked)
            return connection.execute(statement, {"its_instance": self.instance, "jobs": sorted(jobs)}).scalars().all()

        # One by one: a row of one job may be locked, and those of the others not.
        if jobs := lock_those_free(connection, self._instances.fullname, [*self._memberships], lock):
            member = {"its_instance": self.instance, "lease": self._lease, "jobs": sorted(jobs)}
            connection.execute(queries.renew_memberships(self._instances), member)

    def _lock_free(self, connection: Connection, job: str, shards: Collection[int]) -> Sequence[int]:
        """Lock those of a job's shards that nobody else has locked; return their numbers."""

        def lock(connection: Connection, some: Collection[int], skip_locked: bool) -> Sequence[int]:
            statement = queries.lock_shards(self._shards, skip_locked=skip_locked)
            return connection.execute(statement, {"its_job": job, "shards": sorted(some)}).scalars().all()

        return lock_those_free(connection, f"{self._shards.fullname} of {job}", shards, lock)

    def _leave(self, connection: Connection, job: str) -> None:
        owner = {"its_job": job, "its_owner": self.instance}
        connection.execute(queries.release_shards(self._shards), owner)
        connection.execute(queries.delete_member(self._instances), self._of(job))
